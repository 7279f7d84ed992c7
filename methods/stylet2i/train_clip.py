"""The critic's training: a few tensors of a pretrained CLIP are fitted to a data set's images and captions.

The paper's ablation "w/o fine-tuned CLIP" goes without it. The released code means to train the last block of either
side, the norms after them, the projections and the scale. But it hands its optimiser iterators that are used up, so it
only trains the projections and the scale, and of a ResNet not even the visual projection.
"""

import copy
import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from t2ibench.core.errors import UserError
from t2ibench.core.images import to_float
from t2ibench.core.readers import Ahead
from t2ibench.core.seeds import derive_seed, uniform
from t2ibench.data.split import Split
from t2ibench.methods.stylet2i.settings import ClipSettings
from t2ibench.networks.clip.network import tokens_of
from t2ibench.networks.models import Models
from t2ibench.networks.ranks import Call
from t2ibench.networks.schedule import batch_rows
from t2ibench.networks.state import resume
from t2ibench.networks.training.clip import contrastive_loss
from t2ibench.networks.zoo import trained_name

AREA, RATIO = (0.9, 1.0), (3 / 4, 4 / 3)  # of the random crop


class ClipRecipe:
    """Symmetric cross-entropy in the batch; a `loop.Recipe`.

    Its weights are a CLIP of the zoo, or `model:file` of open_clip.
    """

    def __init__(self, config: ClipSettings, train: Split, val: Split, models: Models, seed: int, name: str) -> None:
        """Raises UserError for fewer images than a batch, or images without captions."""
        for split, least in ((train, config.batch), (val, 1)):
            if len(split) < least or not all(split.captions):
                raise UserError(
                    f"stylet2i clip: {split.dataset} {split.name} has {len(split)} images, expected {least}, each "
                    f"with a caption"
                )
        self.config, self.train, self.val, self.device = config, train, val, models.device
        self.seed, self.name, self.steps = derive_seed("stylet2i", name, seed), f"stylet2i-{name}", config.steps
        base = config.base or trained_name("clip-guide", train.dataset)
        clip = models.clip(base)
        self.network = {"base": base} if ":" in base else dict(models.weights(base).config)
        self.preprocess, self.context, self.model = clip.preprocess, clip.context_length, copy.deepcopy(clip.model)
        self.trained = trained_tensors(self.model, config.finetune)
        for tensor in self.trained.values():
            tensor.requires_grad_(True)
        self.optimizer = torch.optim.AdamW(self.trained.values(), config.learning_rate)
        self.pixels = Ahead(lambda index: self.train.images.read(self.rows(index)))
        self.settings = {**asdict(config), "seed": seed, "train": train.digest, "base_sha256": clip.sha256}
        data = {"dataset": train.dataset, "train": train.name, "validation": val.name, "digest": train.digest}
        self.facts = {"data": data, "seed": seed, "optimised_for": "guiding"}

    def rows(self, index: int) -> np.ndarray:
        """The images of the batch of step `index`."""
        return batch_rows(self.seed, index, len(self.train), self.config.batch)

    @property
    def split(self) -> Sequence[Call]:
        """The calls whose rows several processes share out."""
        return [(self.model, self.model, "encode_image"), (self.model, self.model, "encode_text")]

    def step(self, index: int, progress: float) -> dict[str, float]:
        rows = self.rows(index)
        numbers = uniform(derive_seed(self.seed, "pairs", index), 5 * len(rows)).reshape(-1, 5)
        texts = [
            self.train.captions[row][int(u * len(self.train.captions[row]))]
            for row, u in zip(rows, numbers[:, 0], strict=True)
        ]
        images = to_float(torch.from_numpy(self.pixels(index)))
        size = self.preprocess.size
        cropped = torch.cat([cropped_to(image[None], size, u[1:]) for image, u in zip(images, numbers, strict=True)])
        image_features, text_features = self._features(cropped, texts)
        same = torch.eye(len(rows), dtype=torch.bool, device=self.device)
        scale = self.model.logit_scale
        assert isinstance(scale, Tensor)
        loss = contrastive_loss(image_features, text_features, scale.exp(), same)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        with torch.no_grad():
            scale.clamp_(0, math.log(100))
        return {"loss": float(loss.detach()), "scale": float(scale.detach().exp())}

    def _features(self, images: Tensor, texts: list[str]) -> tuple[Tensor, Tensor]:
        """Unit features [B, D] of images in [-1, 1] at CLIP's own size, and of texts."""
        pixels = self.preprocess.normalise((images.to(self.device) + 1) / 2)
        tokens = torch.stack([tokens_of([text], self.context)[0] for text in texts]).to(self.device)
        return F.normalize(self.model.encode_image(pixels), dim=1), F.normalize(self.model.encode_text(tokens), dim=1)  # type: ignore[operator]

    def state(self) -> dict[str, Any]:
        return {
            "trained": {key: tensor.detach() for key, tensor in self.trained.items()},
            "optimizer": self.optimizer.state_dict(),
        }

    def load_state(self, state: dict[str, Any]) -> None:
        resume({"optimizer": self.optimizer}, state)
        with torch.no_grad():
            for key, tensor in self.trained.items():
                tensor.copy_(state["trained"][key])

    def preview(self) -> None:
        return None

    def result(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        return self.model.state_dict(), self.network

    @torch.no_grad()
    def validate(self) -> dict[str, Any]:
        """How often an image's own caption is the nearest of all held-out ones."""
        rows = np.arange(min(self.config.batch, len(self.val)))
        images = self.preprocess.resize((to_float(torch.from_numpy(self.val.images.read(rows))) + 1) / 2)
        image_features, text_features = self._features(2 * images - 1, [self.val.captions[int(row)][0] for row in rows])
        nearest = (image_features @ text_features.T).argmax(1).cpu() == torch.arange(len(rows))
        return {"n": len(rows), "nearest": round(float(nearest.float().mean()), 4)}


def trained_tensors(model: nn.Module, finetune: str) -> dict[str, nn.Parameter]:
    """The tensors of an open_clip model that are trained, by name.

    finetune: "projections" (as released) or "last_block" (as meant).
    """
    named = dict(model.named_parameters())
    vit = hasattr(model.visual, "transformer")
    depth = max(int(name.split(".")[2]) for name in named if name.startswith("transformer.resblocks."))
    wanted = ["text_projection", "logit_scale", *(["visual.proj"] if vit else [])]
    if finetune == "last_block":
        wanted += [f"transformer.resblocks.{depth}.", "ln_final."]
        if vit:
            blocks = max(int(name.split(".")[3]) for name in named if name.startswith("visual.transformer.resblocks."))
            wanted += [f"visual.transformer.resblocks.{blocks}.", "visual.ln_post."]
        else:
            wanted += ["visual.layer4.", "visual.attnpool."]
    return {
        name: p
        for name, p in named.items()
        if any(name == key or (key.endswith(".") and name.startswith(key)) for key in wanted)
    }


def cropped_to(image: Tensor, size: int, u: np.ndarray) -> Tensor:
    """A random crop of an image [1, 3, H, W], scaled to [1, 3, size, size].

    Its share of the image lies in `AREA`, the ratio of its sides in `RATIO`. u: four numbers in [0, 1).
    """
    height, width = image.shape[2:]
    area = height * width * (AREA[0] + (AREA[1] - AREA[0]) * u[0])
    ratio = math.exp(math.log(RATIO[0]) + (math.log(RATIO[1]) - math.log(RATIO[0])) * u[1])
    wide, high = (
        max(1, min(side, round(length)))
        for side, length in ((width, math.sqrt(area * ratio)), (height, math.sqrt(area / ratio)))
    )
    top, left = int(u[2] * (height - high + 1)), int(u[3] * (width - wide + 1))
    crop = image[:, :, top : top + high, left : left + wide]
    return F.interpolate(crop, (size, size), mode="bicubic", antialias=True).clamp(-1, 1)
