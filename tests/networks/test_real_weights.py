"""Published files of weights: `make test-weights WEIGHTS=FOLDER` checks each known file that lies there, and prints a
table to paste. A file that is not there is skipped. What the checks do is shown on files of random weights.
"""

import os
from pathlib import Path

import published_checks
import published_folder
import pytest

from t2ibench.networks.published import known

WEIGHTS = os.environ.get("T2IBENCH_TEST_WEIGHTS", "")


@pytest.mark.data
@pytest.mark.parametrize("name", sorted(known()))
def test_a_published_file_is_what_it_should_be(name, capsys):
    path = Path(WEIGHTS) / name
    if not WEIGHTS or not path.is_file():
        pytest.skip(f"no {name} in {WEIGHTS or 'T2IBENCH_TEST_WEIGHTS'}: make test-weights WEIGHTS=FOLDER")
    row = published_checks.row(path)
    with capsys.disabled():
        print("\n| " + " | ".join(row) + " |")


@pytest.mark.slow
def test_the_checks_read_every_layout(tmp_path, monkeypatch):
    published_folder.faces(tmp_path)
    published_folder.birds(tmp_path)
    published_folder.extractors(tmp_path)
    found = {path.name: published_checks.checked(path) for path in tmp_path.iterdir() if path.name in known()}
    assert len(found) == 21
    assert "cosine of steps" in found["mohawk.pt"]
    assert "the paper prints 0.82 ± 0.096" in found["mohawk.pt"]
    assert "64x64 pixels" in found["cub_v2_nc4_cls0.5_int1.0_ngf128_ndf64_600_net_G.t7"]


def test_another_hash_than_the_published_one_fails(tmp_path):
    (tmp_path / "ViT-B-32.pt").write_bytes(b"something else")
    with pytest.raises(AssertionError, match="published is 40d3657159"):
        published_checks.row(tmp_path / "ViT-B-32.pt")
