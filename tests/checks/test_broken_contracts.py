"""t2ibench/checks/contracts: a plug-in that breaks one rule is told which. Each of these changes one thing of a right
one.
"""

import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor

from t2ibench.checks.contracts import ContractBroken, check_dataset, check_method, check_metric, squares
from t2ibench.core.errors import UserError
from t2ibench.core.records import Estimate
from t2ibench.core.seeds import latents
from t2ibench.data.split import Split, Vocabulary
from t2ibench.data.stores import ArrayImages
from t2ibench.scoring.evidence import Evidence
from t2ibench.tracks.contract import Compose, Edit, Prompt, TextToImage


@dataclass(frozen=True)
class Config:
    steps: int = 1


@dataclass
class Thawed:
    steps: int = 1


def module(**members: Any) -> ModuleType:
    """A plug-in without a file."""
    made = ModuleType("wrong", "A plug-in that a test made up.")
    vars(made).update({"Config": Config, **members})
    return made


def findings(check: Callable[..., None], plugin: ModuleType, **given: Any) -> list[str]:
    with pytest.raises(ContractBroken) as broken:
        check(plugin, **given)
    assert str(broken.value).splitlines() == [f"wrong: {line}" for line in broken.value.findings]
    return broken.value.findings


# Methods.


class Noise:
    """Coloured noise of the request's seed."""

    def __init__(self, config: Config, models: Any) -> None:
        self.config = config

    def text_to_image(self, requests: Sequence[TextToImage]) -> Tensor:
        return self.noise([request.seed for request in requests])

    def noise(self, seeds: Sequence[int]) -> Tensor:
        return (255 * latents(seeds, 3, 4, 4).sigmoid()).to(torch.uint8)


class ReadsItsBatch(Noise):
    def text_to_image(self, requests):
        images = super().text_to_image(requests).float()
        return (images - images.amin(0) + 10).clamp(0, 255).to(torch.uint8)  # above the darkest of the batch


class Floats(Noise):
    def text_to_image(self, requests):
        return super().text_to_image(requests).float() / 255


class SeedsTorch(Noise):
    def text_to_image(self, requests):
        torch.manual_seed(requests[0].seed % 2**32)
        return super().text_to_image(requests)


class DrawsGlobally(Noise):
    def text_to_image(self, requests):
        return super().text_to_image(requests) ^ random.randrange(1, 256)


class SortsItsRequests(Noise):
    def text_to_image(self, requests):
        images = super().text_to_image(requests)
        requests.sort(key=lambda request: -request.seed)
        return images


class BareValueError(Noise):
    def __init__(self, config, models):
        if config.steps < 1:
            raise ValueError("steps must be positive")


class SeveralLines(Noise):
    def __init__(self, config, models):
        if config.steps < 1:
            raise UserError("steps is wrong:\nit must be positive")


class Deaf(Noise):
    def text_to_image(self, requests):
        return torch.full((len(requests), 3, 4, 4), 7, dtype=torch.uint8)


class Remembers(Noise):
    calls = 0

    def text_to_image(self, requests):
        self.calls += 1
        return super().text_to_image(requests) ^ self.calls


class BuiltAtRandom(Noise):
    def __init__(self, config, models):
        self.level = int(torch.randint(256, []))

    def text_to_image(self, requests):
        return super().text_to_image(requests) ^ self.level


class Crashes(Noise):
    def text_to_image(self, requests):
        raise RuntimeError("no\nidea")


class Grows(Noise):
    def text_to_image(self, requests):
        return super().text_to_image(requests)[..., : len(requests)]


class CostsInWords(Noise):
    cost = {"preparation_seconds": "long"}  # noqa: RUF012


class EditsHalf(Noise):
    def edit(self, requests: Sequence[Edit]) -> Tensor:
        return self.noise([request.seed for request in requests])


class ReadsTheEdit(EditsHalf):
    def unedited(self, requests: Sequence[Edit]) -> Tensor:
        return self.noise([request.seed + len(request.target) for request in requests])


class PaintsItsSources(Noise):
    def compose(self, requests: Sequence[Compose]) -> Tensor:
        for request in requests:
            image = request.sources["A"].image
            assert image is not None
            image[:] = 255 - image
        return self.noise([request.seed for request in requests])


def test_a_right_method_passes():
    check_method(module(Method=Noise))


def test_a_setting_that_must_be_refused_is_not_accepted():
    [line] = findings(check_method, module(Method=Noise), wrong=[{"steps": 0}])
    assert line == "the setting steps: 0 was accepted, expected a UserError"


@pytest.mark.parametrize(
    ("method", "said"),
    [
        (ReadsItsBatch, r"text_to_image: row 0 depends on the other requests of its batch, by \d+ grey levels: row i"),
        (Floats, r"text_to_image: returned torch.float32 \[4, 3, 4, 4\], expected uint8 \[4, 3, H, W\]"),
        (SeedsTorch, r"text_to_image changed the global random state of torch: take random numbers from t2ibench.core"),
        (DrawsGlobally, r"text_to_image changed the global random state of random: take"),
        (SortsItsRequests, r"text_to_image: a call changed its requests: work on a copy"),
        (
            BareValueError,
            r"the setting steps: -1 raised ValueError: steps must be positive: a wrong setting is a UserE",
        ),
        (SeveralLines, r"the error for the setting steps: -1 has several lines, expected one"),
        (Deaf, r"text_to_image: other seeds gave the same image for 'a?n?o?n?e? \w+ \w+ square': the seed is"),
        (Remembers, r"text_to_image: the same requests gave other images when they were asked again \(by \d+ grey"),
        (BuiltAtRandom, r"text_to_image: a method that was built anew gave other images for the same requests \(by"),
        (Crashes, r"text_to_image: a plain request raised RuntimeError: no idea$"),
        (Grows, r"text_to_image: row 0 depends on the other requests of its batch, by 255 grey levels"),
        (CostsInWords, r"cost is {'preparation_seconds': 'long'}, expected seconds by name"),
        (EditsHalf, r"edit: Method has edit without unedited"),
        (ReadsTheEdit, r"edit \(sources\): the image before depends on a text, by \d+ grey levels"),
        (PaintsItsSources, r"compose: a call changed its requests"),
        (
            object,
            r"Method has the functions of no track: adapt and unadapted; compose; edit and unedited; text_to_image",
        ),
    ],
)
def test_a_wrong_method_is_told_what_is_wrong(method, said):
    lines = findings(check_method, module(Method=method))
    assert any(re.match(said, line) for line in lines), lines


def test_what_a_plugin_is_made_of():
    assert findings(check_method, module())[0].startswith("the module has no Method: MethodPlugin in t2ibench.tracks")
    assert findings(check_method, module(Method=Noise, Config=Thawed)) == [
        "Config is no frozen dataclass: write @dataclass(frozen=True) above it"
    ]
    assert findings(check_method, module(Method=Noise, REVISION="1")) == [
        "REVISION is '1', expected a whole number from 1 on"
    ]
    assert findings(check_method, module(Method=Noise, __doc__=None)) == [
        "has no docstring, whose first line says what it is"
    ]


def test_who_calls_a_check_wrongly_is_told_so():
    with pytest.raises(UserError, match="no method is called 'stilet2i', did you mean 'stylet2i'"):
        check_method("stilet2i")
    with pytest.raises(UserError, match="unknown key 'stepps', did you mean 'steps'"):
        check_method(module(Method=Noise), {"stepps": 1})


def test_the_global_random_state_is_left_as_it_was():
    random.seed(1)
    torch.manual_seed(1)
    before = random.getstate(), torch.get_rng_state()
    findings(check_method, module(Method=SeedsTorch))
    assert random.getstate() == before[0]
    assert torch.equal(torch.get_rng_state(), before[1])


# Metrics.


def light(evidence: Evidence, config: Config) -> dict[str, Estimate]:
    """The mean grey level."""
    if config.steps < 1:
        raise UserError(f"steps is {config.steps}, expected at least 1")
    values = evidence.samples().images.mean((1, 2, 3))
    return {"light": estimate(float(values.mean()), len(values))}


def estimate(value: float, n: int = 1, **changes: Any) -> Estimate:
    return replace(Estimate(value, (value, value), n, "none", {"levels": 256}, "none"), **changes)


def metric(score: Callable[..., Any], **members: Any) -> ModuleType:
    return module(score=score, **{"QUESTIONS": {"light": "how light are the images?"}, **members})


def changed(**changes: Any) -> Callable[..., Any]:
    """The right metric with other fields of its value."""
    return lambda evidence, config: {"light": replace(light(evidence, config)["light"], **changes)}


def on_the_images(evidence, config):
    return {"light": replace(light(evidence, config)["light"], protocol={"images": evidence.samples().digest})}


def of_the_first(evidence, config):
    return {"light": estimate(float(evidence.samples().images[0].mean()), len(evidence.samples().images))}


def dims_them(evidence, config):
    evidence.samples().images[:] //= 2
    return light(evidence, config)


def paints_the_table(evidence, config):
    evidence.train.attributes["colour"] = "red"
    return light(evidence, config)


def draws(evidence, config):
    value = light(evidence, config)["light"]
    return {"light": estimate(value.value + float(np.random.rand()), value.n)}  # noqa: NPY002


def reads_texts(evidence, config):
    return {"light": estimate(float(np.mean([len(p.text) for p in evidence.samples().prompts])), 24)}


def reads_failed(evidence, config):
    samples = evidence.samples()
    return {"light": estimate(float(samples.store.read(range(len(samples))).mean()), len(samples))}


def not_a_number(evidence, config):
    return {"light": estimate(float("nan"))}


def indexes(evidence, config):
    return light(evidence, [config][config.steps - 1] if config.steps > 0 else [][0])


def asks(*prompts: Prompt) -> Callable[..., list[Prompt]]:
    return lambda train, reference, config: list(prompts)


def test_a_right_metric_passes():
    check_metric(metric(light))


@pytest.mark.parametrize(
    ("score", "said"),
    [
        (lambda evidence, config: 0.5, r"text_to_image: score returned 0.5, expected {id: Estimate}"),
        (changed(ci=(0.0, 1.0)), r"text_to_image: light is \d+.*, outside of its interval 0 to 1"),
        (changed(better="more"), r"light: better is 'more', expected higher, lower or none"),
        (changed(interval=""), r"light does not say how its interval was made"),
        (changed(protocol={"set": object()}), r"light: its protocol holds what is no JSON"),
        (not_a_number, r"text_to_image: score, of a plain run, raised ValueError: an estimate must be finite, got nan"),
        (on_the_images, r"text_to_image: the protocol of light depends on the images"),
        (of_the_first, r"text_to_image: light depends on the order of the samples; if that is meant, say ordered=True"),
        (dims_them, r"text_to_image: score changed the images of 'captions': work on a copy"),
        (paints_the_table, r"text_to_image: score changed a table or the captions of real images"),
        (draws, r"text_to_image: score changed the global random state of numpy.random: take random numbers"),
        (draws, r"text_to_image: light is another when the same images are scored again"),
        (reads_texts, r"text_to_image: reads the texts of the images .* write READS_TEXTS = True"),
        (reads_failed, r"text_to_image: score, with a sample that failed, raised AssertionError: an image of a failed"),
        (indexes, r"the setting steps: -1 raised IndexError: list index out of range: a wrong setting is a UserError"),
    ],
)
def test_a_wrong_metric_is_told_what_is_wrong(score, said):
    lines = findings(check_metric, metric(score))
    assert any(re.match(said, line) for line in lines), lines


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ({"QUESTIONS": {}}, "QUESTIONS says nothing about light: which question does it answer?"),
        (
            {"TRACKS": ("text2image",)},
            "TRACKS is ('text2image',), expected some of adapt, compose, edit, text_to_image",
        ),
        ({"prompts": asks(Prompt("a", "x", "own"), Prompt("a", "x", "own"))}, "prompts gave two prompts one id"),
        ({"prompts": asks(Prompt("a", "x"))}, "prompts: 'a' is of the group 'captions', which is that of the suite's"),
        ({"prompts": asks(Prompt("a", " ", "own"))}, "prompts: 'a' has no text"),
    ],
)
def test_a_wrong_module_of_a_metric_is_told_what_is_wrong(members, said):
    lines = findings(check_metric, metric(light, **members))
    assert any(line.startswith(said) for line in lines), lines


# Data sets.


def squares_but(**changes: Any) -> ModuleType:
    """Squares whose splits have other fields. A field may be a function of the right split."""

    def load(config: Config, split: str) -> Split:
        right = squares.load(squares.Config(), split)
        given = {name: change(right) if callable(change) else change for name, change in changes.items()}
        return replace(right, **given)

    return module(load=load, splits=lambda config: ["train", "test"])


def hashes(of: Callable[[int, str], str]) -> Callable[[Split], ArrayImages]:
    return lambda split: ArrayImages(
        split.images.read(range(len(split))), [of(i, digest) for i, digest in enumerate(split.images.digests())]
    )


class NotACopy(ArrayImages):
    def read(self, indices):
        return self.array[min(indices) : max(indices) + 1][
            :: -1 if len(indices) > 1 and indices[0] > indices[-1] else 1
        ]


def another(split: Split) -> ArrayImages:
    images = np.random.randint(0, 256, (len(split), 3, 4, 4), np.uint8)  # noqa: NPY002
    return ArrayImages(images, [f"{i:064x}" for i in range(len(split))])


def test_a_right_data_set_passes():
    check_dataset(squares_but())


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"ids": lambda s: ["a", *s.ids[2:], "a"]}, "train: 1 ids stand there twice"),
        ({"captions": lambda s: s.captions[1:]}, "train: 60 ids, but 59 captions"),
        ({"captions": lambda s: ["a square"] * len(s)}, "train: train-0 has the captions 'a square', expected a tuple"),
        ({"attributes": lambda s: s.attributes.head(9)}, "train: 60 ids, but 9 attributes"),
        (
            {"attributes": lambda s: pd.DataFrame({"colour": range(60), "tone": None})[: len(s)]},
            "train: attribute 'colo",
        ),
        ({"vocabulary": Vocabulary({"size": {"big": [("is", "big")]}})}, "train: the vocabulary says ['size'], which"),
        (
            {"vocabulary": Vocabulary({"tone": {"light": [("be", "x")]}})},
            "train: the vocabulary says tone=light as [('be",
        ),
        ({"mentions": lambda s: [[["size=big"], []]] * len(s)}, "train: train-0 has the mentions [['size=big'], []]"),
        (
            {"images": hashes(lambda i, digest: str(i))},
            "train: the digest of train-0 is '0', expected that of its pixels",
        ),
        ({"images": hashes(lambda i, digest: "0" * 64 + "@8")}, "train: two images that differ have one digest"),
        (
            {"images": lambda s: NotACopy(s.images.read(range(len(s))), s.images.digests())},
            "train: who writes on images",
        ),
        ({"images": another}, "load train changed the global random state of numpy.random"),
        ({"ids": lambda s: [f"{np.random.rand()} {i}" for i in s.ids]}, "train: loading it again gave other images"),  # noqa: NPY002
    ],
)
def test_a_wrong_data_set_is_told_what_is_wrong(changes, said):
    lines = findings(check_dataset, squares_but(**changes))
    assert any(line.startswith(said) for line in lines), lines


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ({"load": lambda config, split: squares.load(squares.Config(), "train")}, None),
        (
            {"load": lambda config, split: squares.load(squares.Config(), {"train": "train", "test": "test"}[split])},
            "load of a split 'no-such-split', which should be a UserError, raised KeyError: 'no-such-split'",
        ),
        (
            {"pair_images": lambda config, conditions, count, seed: squares.domain_images(squares.Config(), "grey", 3)},
            "pair_images: asked for colour=red, the attributes say something else",
        ),
        (
            {"regions": lambda config, attribute, values: np.ones((8, 8), np.uint8)},
            "regions: uint8 [8, 8], expected bool [8, 8]",
        ),
        (
            {
                "edited_images": lambda config, seeds, changes: np.stack(
                    [np.full((3, 8, 8), i, np.uint8) for i in range(3)]
                )
            },
            "edited_images: a row depends on other rows, not on its seed and change alone",
        ),
        (
            {"domain_texts": lambda config: {"grey": "a grey square"}},
            "domain_images and domain_texts: it has only one of them",
        ),
    ],
)
def test_a_wrong_ability_is_told_what_is_wrong(members, said):
    plugin = squares_but()
    vars(plugin).update(members)
    if said is None:  # one split under every name
        check_dataset(plugin)
        return
    assert said in findings(check_dataset, plugin)
