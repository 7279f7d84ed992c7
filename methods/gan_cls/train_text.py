"""Training of the text encoder: captions and images of one split, symmetric structured joint embedding loss.

The paper's image side is fixed: features of a GoogLeNet that was trained on labels. The setting `image_side` chooses
ours:
- `attributes`: the attribute columns of the training split, one-hot. The embedded data has them.
- the name of a CLIP of the zoo: its fixed features.
- `joint`: a small image network that is trained with the text side. It needs nothing else.
A judge's features are not offered, because the judge would then score what it taught.
"""

import copy
import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from t2ibench.core.errors import UserError
from t2ibench.core.readers import Ahead
from t2ibench.core.seeds import derive_seed, permutation, uniform
from t2ibench.data.split import Split
from t2ibench.methods.gan_cls.embeddings import rectangular
from t2ibench.methods.gan_cls.losses import joint_embedding_loss
from t2ibench.methods.gan_cls.networks import ImageEncoder
from t2ibench.methods.gan_cls.sampling import Groups, labels_of, prepare
from t2ibench.methods.gan_cls.settings import TextSettings, card_facts, shape_of
from t2ibench.methods.gan_cls.text_encoder import EncoderShape, TextEncoder, characters
from t2ibench.networks.ranks import Call
from t2ibench.networks.schedule import half
from t2ibench.networks.state import resume


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Networks made in this context are initialised from `seed`; the global random state stays as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


class TextRecipe:
    """The training of a text encoder; `t2ibench.networks.training.loop.fit` drives it.

    A step takes `batch` images of distinct groups with one caption each, and both losses.
    """

    def __init__(
        self,
        settings: TextSettings,
        train: Split,
        val: Split,
        fixed: tuple[Tensor, Tensor] | None,
        device: torch.device,
        seed: int,
    ) -> None:
        """fixed: image features [N, D] of train and val; None if the image side is `joint`.

        If D differs from the setting `out`, a linear map follows the features.
        """
        self.config, self.train, self.val, self.device, self.seed = settings, train, val, device, seed
        self.fixed = None if fixed is None else tuple(features.to(device) for features in fixed)
        self.settings: Mapping[str, Any] = {**dataclasses.asdict(settings), "seed": seed, "data": train.digest}
        self.facts = card_facts(train, val, seed, "guiding")
        self.captions = rectangular(train.captions)
        self.groups = Groups.of(labels_of(train, settings.class_column))
        self.shape = shape_of(EncoderShape, dataclasses.asdict(settings))
        with seeded(derive_seed(seed, "init")):
            self.text, self.image = TextEncoder(self.shape), self._image_side()
            if settings.init:
                for parameter in self.text.parameters():
                    nn.init.uniform_(parameter, -settings.init, settings.init)
        self.networks = nn.ModuleDict({"text": self.text, "image": self.image}).to(device)
        kind = (
            torch.optim.RMSprop if settings.optimiser == "rmsprop" else torch.optim.Adam
        )  # RMSprop smooths by 0.99, as Torch's
        self.optimiser: torch.optim.Optimizer = kind(self.networks.parameters(), lr=settings.learning_rate)
        self.pixels = Ahead(lambda index: train.images.read(self._indices(self._numbers(index))))
        classes = len(self.groups.counts)  # an epoch is one step a class upstream; without classes, one pass
        self.epoch_steps = classes if settings.class_column else -(-len(train) // settings.batch)

    @property
    def split(self) -> Sequence[Call]:
        """The calls whose rows several processes share out."""
        return [(self.text, self.text, "forward"), (self.image, self.image, "forward")]

    def step(self, index: int, progress: float) -> dict[str, float]:
        epoch = index // self.epoch_steps if self.config.schedule == "epoch" else int(progress * self.config.epochs)
        for group in self.optimiser.param_groups:
            group["lr"] = self.config.learning_rate * self.config.decay**epoch
        batch, groups = self.config.batch, len(self.groups.counts)
        u = self._numbers(index)
        indices = self._indices(u)
        picks = (u[groups + batch :] * len(self.captions[0])).astype(int)
        codes = characters(
            [self.captions[i][pick] for i, pick in zip(indices, picks, strict=True)], self.shape.length
        ).to(self.device)
        with half(self.device, self.config.precision == "bfloat16"):
            text, image = self.text(codes), self._image(indices, index)
        to_text, to_image = joint_embedding_loss(image.float(), text.float())
        self.optimiser.zero_grad()
        (to_text + to_image).backward()
        self.optimiser.step()
        return {"image_to_text": to_text.item(), "text_to_image": to_image.item()}

    def _image_side(self) -> nn.Module:
        if self.fixed is None:
            return ImageEncoder(self.config.image_width, self.config.out)
        width = self.fixed[0].shape[1]
        return nn.Identity() if width == self.config.out else nn.Linear(width, self.config.out, bias=False)

    def _numbers(self, index: int) -> np.ndarray:
        return uniform(derive_seed(self.seed, "step", index), len(self.groups.counts) + 2 * self.config.batch)

    def _indices(self, u: np.ndarray) -> np.ndarray:
        return self.groups.distinct(u[: len(self.groups.counts) + self.config.batch], self.config.batch)

    def _image(self, indices: np.ndarray, index: int) -> Tensor:
        if self.fixed is not None:
            return self.image(self.fixed[0][torch.from_numpy(indices)])
        return self.image(prepare(self.pixels(index), "none").to(self.device))

    def state(self) -> dict[str, Any]:
        return {"networks": self.networks.state_dict(), "optimiser": self.optimiser.state_dict()}

    def load_state(self, state: dict[str, Any]) -> None:
        resume({"networks": self.networks, "optimiser": self.optimiser}, state)

    def preview(self) -> None:
        return None

    def result(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """The weights, scaled so that text embeddings have a mean square of 1 a dimension.

        The image side is scaled by the inverse, so every score stays as it was.
        """
        text, image = copy.deepcopy(self.text), copy.deepcopy(self.image)
        sample = permutation(derive_seed(self.seed, "scale"), len(self.captions))[:2000]
        scale = text.embed([self.captions[i][0] for i in sample]).square().mean().rsqrt()
        with torch.no_grad():
            for parameter in text.out.parameters():
                parameter.mul_(scale)
            for parameter in image.layers[-1].parameters() if isinstance(image, ImageEncoder) else ():
                parameter.div_(scale)
        tensors = {f"text.{key}": value for key, value in text.state_dict().items()}
        if isinstance(image, ImageEncoder):
            tensors |= {f"image.{key}": value for key, value in image.state_dict().items()}
        return tensors, {
            **dataclasses.asdict(self.shape),
            "image_width": self.config.image_width if self.fixed is None else 0,
        }

    @torch.no_grad()
    def validate(self) -> dict[str, Any]:
        """The share of held-out captions, the first of each image, whose own image scores above 99 others.

        If there are fewer others, it must score above all of them.
        """
        self.networks.eval()
        texts = self.text.embed([captions[0] for captions in rectangular(self.val.captions)])
        if self.fixed is not None:
            images = self.image(self.fixed[1]).cpu()
        else:
            images = embed_images(self.image, self.val.images.read(np.arange(len(self.val))))
        self.networks.train()
        return {**retrieval_report(texts, images), "images": len(self.val)}


@torch.no_grad()
def embed_images(encoder: nn.Module, images: np.ndarray, batch: int = 100) -> Tensor:
    """Embeddings [N, out] of uint8 images [N, 3, H, W]."""
    device = next(encoder.parameters()).device
    return torch.cat(
        [encoder(prepare(images[i : i + batch], "none").to(device)).cpu() for i in range(0, len(images), batch)]
    )


def retrieval_report(queries: Tensor, targets: Tensor) -> dict[str, float]:
    """`retrieval` among 100, or among all of a smaller set, under a name that says so."""
    candidates = min(100, len(queries))
    return {f"text_to_image_1_in_{candidates}": retrieval(queries, targets, seed=0, candidates=candidates)}


def retrieval(queries: Tensor, targets: Tensor, seed: int, candidates: int = 100) -> float:
    """The share of queries [N, D] whose own target [N, D] scores strictly above `candidates` - 1 others.

    The others are drawn at random, and a score is a dot product. Raises ValueError for fewer than `candidates` pairs.
    """
    if len(queries) < candidates:
        raise ValueError(f"retrieval among {candidates} needs as many pairs, got {len(queries)}")
    others = uniform(derive_seed(seed, "candidates"), len(queries) * (candidates - 1)).reshape(
        len(queries), candidates - 1
    )
    rows = torch.arange(len(queries))
    drawn = (rows[:, None] + 1 + torch.from_numpy((others * (len(queries) - 1)).astype(np.int64))) % len(
        queries
    )  # never the own one
    score = queries @ targets.T
    return (score[rows, rows][:, None] > score.gather(1, drawn)).all(dim=1).double().mean().item()


def attribute_features(train: Split, val: Split) -> tuple[Tensor, Tensor]:
    """The attributes of both splits as one-hot rows, [N, values] each.

    An attribute that is missing, or has a value that training never saw, is all zeros.

    Raises UserError for a data set without attributes.
    """
    if train.attributes is None or val.attributes is None:
        raise UserError(f"{train.dataset} has no attributes: set `image_side: joint`, or name a CLIP of the zoo")
    values = [(name, value) for name in train.attributes for value in sorted(train.attributes[name].dropna().unique())]

    def rows(table: pd.DataFrame) -> Tensor:
        return torch.stack(
            [torch.tensor((table[name] == value).to_numpy(dtype=bool)) for name, value in values], dim=1
        ).float()

    return rows(train.attributes), rows(val.attributes)
