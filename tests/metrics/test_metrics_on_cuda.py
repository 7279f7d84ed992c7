"""Metrics and what they are made of, on a pretended CUDA device: the numbers are those of the CPU."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from pretend_cuda import CUDA, pretended
from torch import Tensor

from t2ibench.data.representations.palette import palettes
from t2ibench.metrics.cmmd import cmmd
from t2ibench.metrics.diversity import mean_distances
from t2ibench.metrics.inception_score import inception_score
from t2ibench.metrics.kid import kid
from t2ibench.metrics.prdc import prdc
from t2ibench.networks import augment, extractors
from t2ibench.networks.models import Models
from t2ibench.networks.precision import full_float32
from t2ibench.scoring.score_images import score_images
from t2ibench.stats.frechet import Moments, frechet_distance, influence, jackknife
from t2ibench.training_metrics import CMMD, ClipScore, FrechetDistance, KernelDistance, PrecisionRecall

JUDGE, CLIP = "attribute-judge-avatars", "clip-judge-avatars"


pytestmark = pytest.mark.gpu


@pytest.fixture(autouse=True)
def _on_cuda() -> Iterator[None]:
    with pretended():
        yield


def features(count: int, dimension: int = 4, shift: float = 0.0) -> Tensor:
    return torch.randn(count, dimension, generator=torch.Generator().manual_seed(count)) + shift


def pictures(count: int = 3, side: int = 64) -> Tensor:
    return torch.from_numpy(np.random.Generator(np.random.PCG64(0)).integers(0, 256, (count, 3, side, side), np.uint8))


def on_host(value: Any) -> Any:
    """Numbers and CPU tensors of any result."""
    if isinstance(value, Tensor):
        return value.cpu()
    if isinstance(value, dict):
        return {key: on_host(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [on_host(part) for part in value]
    return on_host(vars(value)) if hasattr(value, "__dataclass_fields__") else value


FUNCTIONS: dict[str, tuple[Callable[..., Any], tuple[Tensor, ...]]] = {
    "frechet, more rows than dimensions": (frechet_distance, (features(40), features(50, shift=1.0))),
    "frechet, fewer": (frechet_distance, (features(6, 9), features(7, 9))),
    "frechet, fewer and more": (frechet_distance, (features(6, 9), features(70, 9))),
    "frechet of moments": (lambda a, b: frechet_distance(Moments.of(a), Moments.of(b)), (features(40), features(50))),
    "influence": (lambda a, b: influence(a, Moments.of(b)), (features(40), features(50))),
    "jackknife": (lambda a, b: jackknife(a, b, groups=5), (features(40), features(50))),
    "jackknife, fewer": (lambda a, b: jackknife(a, b, groups=3), (features(6, 9), features(7, 9))),
    "kid": (kid, (features(40), features(50))),
    "cmmd": (cmmd, (features(40), features(50))),
    "prdc": (prdc, (features(40), features(50))),
    "inception score": (inception_score, (features(40).softmax(1),)),
    "diversity": (mean_distances, (features(40),)),
    "palettes": (palettes, (pictures(side=16),)),
    "augment": (lambda images: augment.augment(images, 1, blur=0.7), (pictures(6) / 127.5 - 1,)),
    "cropped": (lambda images: augment.cropped(images, 1, 0.5), (pictures(6) / 127.5 - 1,)),
    "recoloured": (lambda images: augment.recoloured(images, 1, 0.5), (pictures(6) / 127.5 - 1,)),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_gives_the_numbers_of_the_cpu(name):
    function, tensors = FUNCTIONS[name]
    expected = on_host(function(*tensors))
    made = function(*(value.to(CUDA) for value in tensors))
    torch.testing.assert_close(on_host(made), expected, atol=1e-6, rtol=1e-6)


def test_tensors_stay_on_the_device_of_the_inputs():
    images = pictures(2, 16).to(CUDA)
    assert palettes(images).is_cuda
    assert augment.augment(images / 127.5 - 1, 1).is_cuda
    assert kid(features(9).to(CUDA), features(8).to(CUDA))[1].is_cuda


METRICS: dict[str, Callable[[Any], Any]] = {
    "fd": lambda network: FrechetDistance(network, dimension=160),
    "kid": KernelDistance,
    "cmmd": CMMD,
    "prdc": lambda network: PrecisionRecall(network, k=2),
}


@pytest.mark.parametrize("name", METRICS)
def test_a_training_metric_on_cuda_takes_an_extractor_of_ours_which_answers_on_the_cpu(name):
    sides = pictures(8), pictures(9).flip(0)

    def value(device: Any) -> Any:
        network = extractors.find(Models(device), CLIP).network
        metric = METRICS[name](network).to(device)
        for images, real in zip(sides, (True, False), strict=True):
            for batch in images.split(4):
                metric.update(batch.to(device), real=real)
        return on_host(metric.compute())

    torch.testing.assert_close(value(CUDA), value("cpu"), atol=1e-5, rtol=1e-4)


def test_a_clip_score_takes_embeddings_of_both_devices():
    metric = ClipScore().to(CUDA)
    metric.update(features(4).to(CUDA), features(4))
    assert float(metric.compute()) == pytest.approx(1.0)


@pytest.mark.parametrize("name", [JUDGE, CLIP])
def test_an_extractor_answers_on_the_cpu_as_it_does_there(name):
    images = pictures()
    expected = extractors.find(Models("cpu"), name).network(images)
    for given in (images, images.to(CUDA)):
        made = extractors.find(Models(CUDA), name).network(given)
        assert made.device.type == "cpu"
        torch.testing.assert_close(made, expected, atol=1e-5, rtol=1e-4)


def test_images_are_scored_as_on_the_cpu():
    texts = ["a man with red hair", "a woman with glasses", "a man with a beard", "a woman with blond hair"] * 3
    images = pictures(len(texts))
    names = ["clip_score"]
    made, expected = (
        score_images(
            images.numpy(),
            images.flip(3).numpy(),
            names,
            texts,
            clip=CLIP,
            device=device,
        )
        for device in ("cuda:0", "cpu")
    )
    assert made.keys() == expected.keys()
    for name, estimate in made.items():
        assert estimate.value == pytest.approx(expected[name].value, abs=1e-5), name


def test_features_are_computed_in_full_float32_and_everything_is_put_back():
    cudnn = torch.backends.cudnn
    before = cudnn.enabled, cudnn.benchmark, cudnn.deterministic, cudnn.allow_tf32
    with full_float32():
        assert (cudnn.enabled, cudnn.benchmark, cudnn.deterministic, cudnn.allow_tf32) == (*before[:3], False)
        assert not torch.backends.cuda.matmul.allow_tf32
    assert (cudnn.enabled, cudnn.benchmark, cudnn.deterministic, cudnn.allow_tf32) == before
