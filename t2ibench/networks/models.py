"""The networks that methods and metrics use. Each is loaded once, and `used` lists those that were handed out."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from t2ibench.core.cache import home
from t2ibench.core.errors import UserError
from t2ibench.networks import weights as weight_files
from t2ibench.networks import zoo

if TYPE_CHECKING:
    from t2ibench.networks.attribute_judge import AttributeJudge
    from t2ibench.networks.clip import Clip
    from t2ibench.networks.image_reward import ImageReward
    from t2ibench.networks.lpips import Lpips
    from t2ibench.networks.stylegan2 import Generator
    from t2ibench.networks.vqa.contract import VQA

# A network that is built draws weights, which are replaced at once. The global random state stays as it was.
builds = torch.random.fork_rng(devices=[])


class Models:
    """Hands out networks on one device.

    used: for the name of each network that was handed out: its sha256, the data that it was trained on (`data`) and
        what it was trained for (`optimised_for`). A record keeps it, so that a reader can see whether the network that
        judged a method also guided it.
    """

    _cache: Path | None = None

    def __init__(self, device: str | torch.device = "cpu", cache: Path | None = None) -> None:
        """cache: the folder of what is computed once; None: the user's."""
        self.device, self._cache = torch.device(device), cache
        self.used: dict[str, dict[str, Any]] = {}
        self._weights: dict[str, weight_files.Weights] = {}
        self._clips: dict[str, Clip] = {}
        self._judges: dict[str, AttributeJudge] = {}
        self._generators: dict[str, Generator] = {}
        self._rewards: dict[tuple[str, str], ImageReward] = {}
        self._vqas: dict[tuple[str, bool], VQA] = {}

    @property
    def cache(self) -> Path:
        """The folder of what is computed once with these networks and kept."""
        return self._cache or home()

    def weights(self, name: str) -> weight_files.Weights:
        """Weights of the zoo. Raises UserError for an unknown name or a damaged file."""
        if name not in self._weights:
            self._weights[name] = weights = weight_files.load(name)
            self.used[name] = {
                "sha256": weights.sha256,
                **{key: weights.card.get(key) for key in ("data", "optimised_for")},
            }
        return self._weights[name]

    def file(self, path: str) -> str:
        """The sha256 of a published file that is no network, such as a table. A record keeps it, too."""
        if path not in self.used:
            try:
                with Path(path).open("rb") as file:
                    sha256 = hashlib.file_digest(file, "sha256").hexdigest()
            except OSError as error:
                raise UserError(f"{path} cannot be read ({error.strerror}): correct the path") from error
            self.used[path] = {"sha256": sha256, "data": Path(path).name, "optimised_for": None}
        return self.used[path]["sha256"]

    @builds
    def clip(self, name: str) -> Clip:
        """A CLIP by its name.

        name: of the zoo; a published file or folder, such as OpenAI's `ViT-B-32.pt`; or `model:tag` or `model:file`
            of open_clip.
        Raises UserError for an unknown name, and for weights that are missing or damaged.
        """
        from t2ibench.networks.clip import Clip, files

        if name not in self._clips:
            if name not in zoo.available() and files.is_path(name):
                self._clips[name] = clip = Clip.from_file(name, self.device)
                self.used[name] = {"sha256": clip.sha256, "data": Path(name).name, "optimised_for": None}
            elif ":" in name:
                self._clips[name] = clip = Clip.from_open_clip(name, self.device)
                self.used[name] = {"sha256": clip.sha256, "data": name, "optimised_for": None}
            else:
                self._clips[name] = Clip.from_zoo(self.weights(name), self.device)
        return self._clips[name]

    def is_judge(self, name: str) -> bool:
        """Whether these are weights of an attribute judge: their card has attributes, and how each is calibrated."""
        path = zoo.available().get(name)
        return path is not None and {"attributes", "temperatures"} <= zoo.card(path)["config"].keys()

    @builds
    def judge(self, name: str) -> AttributeJudge:
        """An attribute judge of the zoo."""
        from t2ibench.networks.attribute_judge import AttributeJudge

        if name not in self._judges:
            self._judges[name] = AttributeJudge(self.weights(name), self.device)
        return self._judges[name]

    def lpips(self, heads: str, trunk: str) -> Lpips:
        """LPIPS from two published files. Raises UserError for files that are missing or of other networks."""
        from t2ibench.networks.lpips import Lpips

        for path in (heads, trunk):
            self.file(path)
        return Lpips.from_files(Path(heads), Path(trunk)).to(self.device)

    def image_reward(self, weights: str, vocabulary: str) -> ImageReward:
        """ImageReward from its published file. Raises UserError for files that are missing or of other networks."""
        from t2ibench.networks.image_reward import ImageReward

        if (weights, vocabulary) not in self._rewards:
            for path in (weights, vocabulary):
                self.file(path)
            self._rewards[weights, vocabulary] = ImageReward.from_files(Path(weights), Path(vocabulary), self.device)
        return self._rewards[weights, vocabulary]

    @builds
    def stylegan2(self, name: str) -> Generator:
        """A frozen StyleGAN2 of the zoo, or from a file: NVlabs' .pkl, rosinality's .pt or our .safetensors."""
        from t2ibench.networks.stylegan2 import checkpoints

        if name not in self._generators:
            path = Path(name)
            if path.suffix in checkpoints.READ or path.is_file():
                generator = checkpoints.load(path)
                self.used[name] = {"sha256": checkpoints.sha256(path), **checkpoints.facts(path)}
            else:
                generator = checkpoints.load(self.weights(name))
            self._generators[name] = generator.to(self.device)
        return self._generators[name]

    @builds
    def vqa(self, name: str, first_tokens: bool = False) -> VQA:
        """A model that answers questions about images.

        name: a VQA judge of the zoo; or an image-text-to-text model of transformers, as a folder or `hub:owner/name`.
        first_tokens: how a model of transformers gives an answer of several tokens (`networks.vqa.language`).
        Raises UserError for an unknown name, and for a model that cannot be asked.
        """
        key = (name, first_tokens)
        if key not in self._vqas:
            if name in zoo.available() or not (name.startswith("hub:") or Path(name).is_dir()):
                from t2ibench.networks.vqa.judge import VqaJudge

                self._vqas[key] = VqaJudge(self.weights(name), self.device)
            else:
                from t2ibench.networks.vqa.language import LanguageModel

                self._vqas[key] = model = LanguageModel(name, self.device, first_tokens)
                self.used[model.name] = {"sha256": model.sha256, "data": model.name, "optimised_for": None}
        return self._vqas[key]
