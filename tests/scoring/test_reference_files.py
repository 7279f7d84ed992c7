"""Statistics that other packages wrote: read, used as the reference of a Fréchet distance, and refused where they
cannot be one.
"""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from fake_evidence import FakeEvidence
from goldens import FOLDER, VALUES, tensors

from t2ibench.core.errors import UserError
from t2ibench.data.split import Split
from t2ibench.metrics import fid, kid, prdc
from t2ibench.scoring import reference_files
from t2ibench.stats.frechet import Gaussian, Moments, frechet_distance, jackknife

FULL = tensors("features_full")
WITH_MOMENTS = ("stats_pytorch_fid.npz", "stats_adm.npz", "stats_torch_fidelity.pt")


def gaussian_of(path: Path) -> Gaussian:
    found = reference_files.load(path).gaussian
    assert found is not None
    return found


def features_of(path: Path) -> torch.Tensor:
    found = reference_files.load(path).features
    assert found is not None
    return found


FEATURES = features_of(FOLDER / "stats_cleanfid_kid.npz")
JUDGE = "attribute-judge-avatars"


def written(path, **arrays):
    np.savez(path, **arrays)
    return path


class Evidence(FakeEvidence):
    """Made features beside a file of statistics; no extractor is at hand, so its dimension is that of the features."""

    def __init__(self, fake, file, **settings):
        super().__init__(fake, **settings)
        ids = [str(row) for row in range(len(file))]
        self.file = file
        self.reference = Split("file", "statistics", ids, file, [("",)] * len(ids))

    def dimension(self, extractor, group="captions"):
        return self.fake.shape[1]

    def real_features(self, extractor, split=None):
        return self.file.features


@pytest.mark.parametrize("name", WITH_MOMENTS)
def test_moments_of_every_format_are_those_of_its_features(name):
    file, own = reference_files.load(FOLDER / name), Moments.of(FEATURES)
    found = gaussian_of(FOLDER / name)
    torch.testing.assert_close(found.mean, own.mean, atol=1e-6, rtol=0)
    torch.testing.assert_close(found.covariance, own.covariance, atol=1e-6, rtol=0)
    assert (file.dimension, found.rank, found.n, len(file)) == (16, 16, np.inf, 0)
    assert frechet_distance(found, FEATURES) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("name", ["stats_cleanfid_kid.npz", "features_torch_fidelity.pt"])
def test_files_of_features_hold_all_of_them(name):
    file = reference_files.load(FOLDER / name)
    assert (len(file), file.dimension) == (60, 16)
    torch.testing.assert_close(features_of(FOLDER / name), FEATURES, atol=0, rtol=0)


def test_the_distance_to_stored_statistics_is_that_of_pytorch_fid(tmp_path):
    path = written(tmp_path / "x.npz", mu=FULL["mu_x"].numpy(), sigma=FULL["sigma_x"].numpy())
    ((key, estimate),) = fid.score(Evidence(FULL["y"], reference_files.load(path)), fid.Config(extractor=JUDGE)).items()
    assert key == "fd_avatars"
    assert estimate.value == pytest.approx(VALUES["fid_full"]["fid_pytorch_fid_xy"], abs=1e-9)
    assert "reference fixed" in estimate.interval
    assert (estimate.n, estimate.protocol["reference_images"], estimate.details["reference_rank"]) == (
        500,
        "unknown",
        64,
    )
    both = fid.distance(FULL["y"], FULL["x"], [str(i) for i in range(500)])
    assert 0 < estimate.details["se"] < both.se  # which adds the share of the reference


def test_the_error_with_a_fixed_reference_is_the_spread_over_fresh_made_images(tmp_path):
    generator = torch.Generator().manual_seed(0)
    reference = reference_files.gaussian(np.zeros(8), np.diag(np.linspace(1, 2, 8)), "here")
    found = [
        fid.distance(torch.randn(300, 8, generator=generator), reference, [str(i) for i in range(300)])
        for _ in range(150)
    ]
    assert np.mean([one.se for one in found]) == pytest.approx(np.std([one.value for one in found]), rel=0.15)


def test_a_singular_covariance_gives_the_exact_distance(tmp_path):
    low = tensors("features_lowrank")
    own = Moments.of(low["y"])
    path = written(tmp_path / "low.npz", mu=own.mean.numpy(), sigma=own.covariance.numpy())
    file = gaussian_of(path)
    assert file.rank == 99
    assert frechet_distance(low["x"], file) == pytest.approx(VALUES["fid_lowrank"]["fid_mpmath_xy"], abs=1e-9)
    bias, se = jackknife(low["x"], file)
    assert bias > 0
    assert 0 < se < jackknife(low["x"], low["y"])[1]


def test_features_serve_every_metric_that_compares_sets(tmp_path):
    path = written(tmp_path / "set_clean_custom_na_kid.npz", feats=FULL["x"].numpy())
    evidence = Evidence(FULL["y"], reference_files.load(path))
    assert kid.score(evidence, kid.Config(extractor=JUDGE))["kd_avatars"].value == pytest.approx(
        VALUES["kid"]["full_unbiased_f64"], abs=1e-12
    )
    assert (
        prdc.score(evidence, prdc.Config(extractor=JUDGE))["recall"].value == VALUES["prdc"]["recall_k5_real_x_fake_y"]
    )
    assert fid.score(evidence, fid.Config(extractor=JUDGE))["fd_avatars"].value == pytest.approx(
        0.2786321320279, abs=1e-9
    )


def test_moments_alone_do_not_serve_a_kernel_distance():
    evidence = Evidence(torch.randn(200, 16), reference_files.load(FOLDER / "stats_pytorch_fid.npz"))
    with pytest.raises(UserError, match=r"stats_pytorch_fid\.npz has no features, only their mean and covariance"):
        kid.score(evidence, kid.Config(extractor="inception"))


@pytest.mark.parametrize(
    ("name", "extractor"),
    [
        ("ffhq_clean_trainfull_256.npz", "inception"),
        ("coco_legacy_tensorflow_val_512.npz", "inception-legacy-tf"),
        ("mine_legacy_pytorch_custom_na_kid.npz", "inception-legacy-pt"),
        ("mine_clean_clip_vit_b_32_custom_na.npz", None),
        ("ref.npz", None),
    ],
)
def test_the_name_of_a_file_of_clean_fid_says_how_it_was_made(tmp_path, name, extractor):
    file = reference_files.load(written(tmp_path / name, feats=np.eye(4)))
    assert file.extractor == extractor


def test_2048_dimensions_are_taken_for_inceptions(tmp_path):
    assert reference_files.load(written(tmp_path / "ref.npz", feats=np.ones((2, 2048)))).extractor == "inception"


def test_another_way_to_inception_than_the_files_is_refused(tmp_path):
    file = reference_files.load(written(tmp_path / "ffhq_legacy_pytorch_train_256.npz", feats=np.eye(4)))
    file.check("inception-legacy-pt", 4)
    with pytest.raises(
        UserError, match=r"made by clean-fid's mode legacy_pytorch: use --extractor inception-legacy-pt, not inception$"
    ):
        file.check("inception", 4)


def test_another_dimension_than_the_extractors_is_refused_before_any_image_is_looked_at():
    evidence = Evidence(torch.randn(200, 8), reference_files.load(FOLDER / "stats_pytorch_fid.npz"))
    with pytest.raises(UserError, match="16 dimensions, the extractor inception gives 8"):
        fid.score(evidence, fid.Config(extractor="inception"))


def spoiled(what: str):
    mu, sigma = np.zeros(3), np.eye(3)
    if what == "not symmetric":
        sigma[0, 1] = 1e-3
    elif what == "not finite":
        sigma[1, 1] = np.nan
    elif what == "no covariance":
        sigma[2, 2] = -0.1
    elif what == "expected [d] and [d, d]":
        mu = np.zeros(4)
    elif what == "expected floating point":
        mu = np.zeros(3, int)
    return mu, sigma


@pytest.mark.parametrize(
    "what", ["not symmetric", "not finite", "no covariance", "expected [d] and [d, d]", "expected floating point"]
)
def test_what_is_no_gaussian_is_refused(tmp_path, what):
    mu, sigma = spoiled(what)
    path = written(tmp_path / "bad.npz", mu=mu, sigma=sigma)
    with pytest.raises(UserError, match=rf"^{re.escape(str(path))}: .*{re.escape(what)}.*$"):
        reference_files.load(path)


class Evil:
    def __reduce__(self):
        return (exec, ("raise SystemExit('code was run')",))


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("a.npz", {"mean": np.zeros(2)}, "holds mean, expected mu and sigma"),
        ("b.npz", b"", "cannot be read as .npz"),
        ("c.npz", b"no archive", "cannot be read as .npz"),
        ("d.npz", {"mu": np.array([Evil()], object), "sigma": np.eye(1)}, "cannot be read as .npz"),
        ("e.npz", {"feats": np.ones(5)}, r"the features are float64 \[5\]"),
        ("f.npz", {"feats": np.array([[1.0, np.inf], [0.0, 0.0]])}, "1 values that are not finite"),
        ("g.pt", b"", "cannot be read as torch-fidelity's statistics"),
        ("h.pt", [1, 2], "holds a list"),
        ("i.pt", Evil(), "cannot be read as torch-fidelity's statistics"),
        ("j.pkl", b"", "a pickle can run any code"),
    ],
)
def test_other_files_are_refused_in_one_line_and_run_no_code(tmp_path, name, content, why):
    path = tmp_path / name
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif path.suffix == ".npz":
        np.savez(path, **content)
    else:
        torch.save(content, path)
    with pytest.raises(UserError, match=why) as error:
        reference_files.load(path)
    assert str(error.value).startswith(str(path))
    assert "\n" not in str(error.value)


def test_there_are_no_pixels_to_look_at():
    with pytest.raises(UserError, match="holds statistics, no images"):
        reference_files.load(FOLDER / "stats_pytorch_fid.npz").read([0])


def test_clusters_count_with_a_fixed_reference():
    reference = reference_files.gaussian(np.zeros(4), np.eye(4), "here")
    x = torch.randn(300, 4, generator=torch.Generator().manual_seed(0)) * 1.2
    four = fid.distance(x.repeat_interleave(4, 0), reference, [str(i // 4) for i in range(1200)])
    assert four.se == pytest.approx(fid.distance(x, reference, [str(i) for i in range(300)]).se, rel=0.05)
