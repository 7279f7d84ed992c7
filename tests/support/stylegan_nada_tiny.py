"""A tiny StyleGAN2 and two tiny CLIPs, untrained, as the models of StyleGAN-NADA."""

from typing import Any

import torch
from styleclip_models import CLIP, tiny_generator

from t2ibench.methods.stylegan_nada.settings import Config
from t2ibench.methods.stylegan_nada.training import AdaptationRecipe
from t2ibench.networks.clip import Clip
from t2ibench.networks.clip.network import build, tokens_of
from t2ibench.networks.models import Models
from t2ibench.networks.weights import Weights

FACE, SKETCH, SEPIA = "a face avatar", "a pencil sketch of a face", "a sepia photo of a face"


class TinyModels(Models):
    """Knows "tiny" and any number of clips whose names end in a digit, their seed; counts how often an image was looked
    at.
    """

    def __init__(self) -> None:
        super().__init__()
        self._generators["tiny"] = tiny_generator()
        self.used["tiny"] = {"sha256": "a0", "data": {"dataset": "squares", "train": "train"}, "optimised_for": None}
        self.looked: list[str] = []

    def clip(self, name: str = "clip-1") -> Clip:
        if name not in self._clips:
            clip = self._clips[name] = tiny_clip(int(name[-1]))
            seen = clip.image_features

            def counted(images: Any, clamp: bool = True) -> Any:
                self.looked.append(name)
                return seen(images, clamp)

            clip.image_features = counted  # type: ignore[method-assign]
        return self._clips[name]


def tiny_clip(seed: int) -> Clip:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        ids = sorted(set(tokens_of((FACE, SKETCH, SEPIA), 12).unique().tolist()) - {0})
        return Clip.from_zoo(Weights(f"clip-{seed}", build(CLIP, ids).state_dict(), CLIP, {}, f"c{seed}"))


def config(**settings: Any) -> Config:
    """The released training, small."""
    released = {"learning_rate": 0.0016, "phase": "default", "train_kernels": True, "train_noise": True, "views": 0}
    small = {"generator": "tiny", "clips": ("clip-1",), "batch": 2, "keep_every": 0, "steps": 3, "layers_batch": 2}
    return Config(**{**released, **small, **settings})


def recipe(models: Models | None = None, **settings: Any) -> AdaptationRecipe:
    return AdaptationRecipe(config(**settings), FACE, SKETCH, models or TinyModels())
