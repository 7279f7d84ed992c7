"""Small walls of a stranger's first day: lists with spaces, images that are all black."""

import numpy as np
import pytest

from t2ibench import score_images
from t2ibench.cli.options import names_of
from t2ibench.core.errors import UserError

JUDGE = "clip-judge-avatars"


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("fid,kid", ["fid", "kid"]),
        ("fid, kid ,prdc", ["fid", "kid", "prdc"]),
        (" fid", ["fid"]),
        ("fid,,kid,", ["fid", "kid"]),
    ],
)
def test_a_list_of_names_may_have_spaces_and_stray_commas(text, names):
    assert names_of(text, "--metrics") == names


def test_the_command_line_takes_such_lists(t2ibench, tmp_path):
    answer = t2ibench("score", str(tmp_path / "nowhere"), "--metrics", "prdc, kid")
    assert answer.returncode == 2
    assert "metric" not in answer.stderr  # both names were read; the folder is missing


@pytest.mark.parametrize("value", [0, 1, 2])
def test_images_that_are_all_black_are_said_to_be_black(value):
    real = np.random.default_rng(0).integers(0, 256, (8, 3, 16, 16), dtype=np.uint8)
    black = np.full_like(real, value)
    with pytest.raises(UserError, match=r"all 8 images are black \(no channel above 2 of 255\)"):
        score_images(black, real, ["prdc"], extractor=JUDGE)
    black[3] = 3
    assert score_images(black[[3] * 8], real, ["prdc"], extractor=JUDGE)["precision"].n == 8
