"""A CLIP with its preprocessing and its tokeniser: from the zoo, from a published file, or from `open_clip`.

Texts are cut to the context length. The end token is kept, because CLIP reads the embedding of a text at it. Texts that
were cut are counted.
"""

import functools
import hashlib
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import open_clip
import torch
import torch.nn.functional as F
from open_clip.tokenizer import SimpleTokenizer
from safetensors import SafetensorError
from torch import Tensor, nn

from t2ibench.core.errors import UserError, did_you_mean
from t2ibench.core.images import check_uint8
from t2ibench.core.pickles import DAMAGED
from t2ibench.networks import weights
from t2ibench.networks.clip import files, openai
from t2ibench.networks.clip.network import TokenTable, build
from t2ibench.networks.clip.preprocess import Preprocess, letterbox
from t2ibench.networks.clip.published import on_disk
from t2ibench.networks.clip.templates import PLAIN, fill
from t2ibench.networks.precision import full_float32
from t2ibench.networks.state import misfit, rebuilt, shape, stored_tensors

SAME = 1e-5  # features nearer than this are equal up to rounding
spelling = functools.cache(SimpleTokenizer)  # how texts are cut into tokens; its file takes a while to read


class Clip:
    """Image and text features of unit norm, float32 [B, dimension]; row i depends on input i alone.

    sha256: of the weights file (zoo), or of the loaded tensors (open_clip).
    truncated: how many texts were cut so far.
    """

    def __init__(
        self,
        name: str,
        model: nn.Module,
        tokenizer: Callable[..., Tensor],
        preprocess: Preprocess,
        sha256: str,
        device: torch.device,
    ) -> None:
        self.name, self.sha256, self.preprocess, self.device, self.truncated = name, sha256, preprocess, device, 0
        self.model = model.float().eval().requires_grad_(False).to(device)
        self.context_length = int(model.context_length)  # type: ignore[arg-type]
        self._tokenizer = tokenizer
        self._padding = int(tokenizer([""], context_length=self.context_length)[0, -1])

    @classmethod
    def from_zoo(cls, weights: weights.Weights, device: torch.device | None = None) -> "Clip":
        """A small CLIP of the zoo. Raises UserError if tensors and card do not fit together."""
        config = weights.config
        model = rebuilt(weights, lambda config: build(config, weights.tensors["token_embedding.ids"].tolist()))
        tokenizer = SimpleTokenizer(context_length=model.context_length)
        return cls(
            weights.name,
            model,
            tokenizer,
            Preprocess.of(config["preprocess"], weights.name),
            weights.sha256,
            device or torch.device("cpu"),
        )

    @classmethod
    def from_file(cls, name: str, device: torch.device | None = None) -> "Clip":
        """A published CLIP whose file or folder says what it is: `ViT-B-32.pt`, a folder of Hugging Face, …

        Raises UserError for a file that is no CLIP, or that does not say which activation the CLIP was trained with.
        """
        path = Path(name)
        found = files.read(path)
        if found.quick_gelu is None:
            plain = openai.model_of(found.config)
            raise UserError(
                f"{name}: {found.what}, and nothing in it says whether this CLIP was trained with the quick-GELU (as "
                f"OpenAI's) or GELU (as LAION's): name it as {plain}-quickgelu:{name} or as {plain}:{name}"
            )
        model = files.build(path, found, found.config, found.quick_gelu)
        tokenizer = SimpleTokenizer(context_length=found.config["text_cfg"].get("context_length", 77))
        preprocess = Preprocess.of(found.preprocess, name)
        return cls(name, model, tokenizer, preprocess, state_hash(model), device or torch.device("cpu"))

    @classmethod
    def from_open_clip(cls, name: str, device: torch.device | None = None) -> "Clip":
        """`model:tag` or `model:file`, for instance `ViT-B-32-quickgelu:openai`. A file may be any that is published.

        Raises UserError for an unknown model or tag, for weights that cannot be read, and for weights that were trained
        with another activation than the model's, since every feature would be slightly wrong. The activation is known
        for each tag; a file is recognised by its content or its hash.
        """
        architecture, _, source = name.partition(":")
        if architecture not in open_clip.list_models():
            raise UserError(
                f"open_clip has no model {architecture!r}{did_you_mean(architecture, open_clip.list_models())}"
            )
        path: Path | None = Path(source) if Path(source).exists() or files.is_path(source) else None
        published: Mapping[str, Any] | None = None
        if path is None:
            published = open_clip.get_pretrained_cfg(architecture, source) or open_clip.get_pretrained_cfg(
                f"{architecture}-quickgelu", source
            )
            if not published:
                tags = open_clip.list_pretrained_tags_by_model(architecture)
                raise UserError(
                    f"{name}: {source!r} is neither a file nor a pretrained tag of "
                    f"{architecture}{did_you_mean(source, tags)}"
                )
            path = on_disk(name)
        elif path.is_file():
            published = _published_as(path)
        _check_activation(name, architecture, published)
        found = None if path is None else files.recognised(path, files.content(path))
        if path is not None and found is not None:
            if found.quick_gelu is not None:
                _check_activation(name, architecture, {"quick_gelu": found.quick_gelu})
            config = open_clip.get_model_config(architecture)
            model = files.build(path, found, config, bool(config.get("quick_gelu")))
            size = {"size": config["vision_cfg"]["image_size"]}
            preprocess = Preprocess.of({**size, **found.preprocess, **_preprocessing(published)}, name)
        else:
            model = _by_open_clip(name, architecture, source if path is None else str(path))
            preprocess = Preprocess.of(model.visual.preprocess_cfg | _preprocessing(published), name)  # type: ignore[operator,union-attr]
        return cls(
            name,
            model,
            open_clip.get_tokenizer(architecture),
            preprocess,
            state_hash(model),
            device or torch.device("cpu"),
        )

    @property
    def logit_scale(self) -> float:
        """The factor of the cosines in the model's own softmax."""
        return float(self.model.logit_scale.exp())  # type: ignore[operator]

    def image_features(self, images: Tensor, clamp: bool = True) -> Tensor:
        """Features [B, D] of images, floats in [-1, 1], [B, 3, H, W], with gradients.

        The images get the model's own preprocessing, without rounding to 8 bits.
        clamp: cut off colours that are out of range after resizing; they then have no gradient.
        """
        return self._features(self.preprocess.resize((images.float() + 1) / 2, clamp))

    def image_embeddings(self, images: Tensor, clamp: bool = True) -> Tensor:
        """`image_features` before they are brought to unit norm. CLIP's training does not use their length."""
        return self._embeddings(self.preprocess.resize((images.float() + 1) / 2, clamp))

    @torch.no_grad()
    @full_float32()
    def encode_images(self, images: Tensor, batch: int = 250) -> Tensor:
        """Features [B, D] of uint8 images [B, 3, H, W], on the CPU. Raises ValueError for any other kind of tensor."""
        check_uint8(images, self.name)
        parts = [
            self._features(self.preprocess.resize(chunk.cpu()).to(self.device).float() / 255).cpu()
            for chunk in images.split(batch)
        ]
        return torch.cat(parts)

    @torch.no_grad()
    @full_float32()
    def encode_whole_images(self, images: Tensor) -> Tensor:
        """The same of the whole image in a black square, instead of what the model's own preprocessing leaves of it."""
        squares = letterbox(images.cpu().float() / 255, self.preprocess.size)
        return self._features(squares.to(self.device)).cpu()

    @torch.no_grad()
    @full_float32()
    def encode_texts(self, texts: Sequence[str], batch: int = 250) -> Tensor:
        """Features [B, D] of texts, on the CPU. Texts that are too long are cut and counted in `truncated`."""
        tokens = self._tokenizer(list(texts), context_length=self.context_length)
        self.truncated += sum(self.cut(texts))
        encode: Callable[[Tensor], Tensor] = self.model.encode_text  # type: ignore[assignment]
        return torch.cat([F.normalize(encode(chunk.to(self.device)), dim=-1).cpu() for chunk in tokens.split(batch)])

    @property
    def context(self) -> str:
        """How much of a text it reads, in words."""
        return f"{self.context_length} tokens"

    def cut(self, texts: Sequence[str]) -> list[bool]:
        """For each text whether it is longer than the context, so that its end is not read."""
        beyond = self._tokenizer(list(texts), context_length=2 * self.context_length)[:, self.context_length :]
        return (beyond != self._padding).any(1).tolist()

    def lengths(self, texts: Sequence[str]) -> list[int]:
        """How many tokens of each text are read, with its start and end."""
        return (self._tokenizer(list(texts), context_length=self.context_length) != self._padding).sum(1).tolist()

    def unknown_words(self, texts: Sequence[str]) -> list[tuple[int, int]] | None:
        """For each text the number of unknown words, and the number of all its words.

        A word is unknown if the network never learned one of its tokens. None for a network that knows every token, as
        published ones do.
        """
        table = getattr(self.model, "token_embedding", None)
        if not isinstance(table, TokenTable):
            return None
        known, tokenizer = set(table.ids.tolist()), spelling()
        counts = []
        for text in texts:
            words, tokens, word = [], [], ""
            for token in tokenizer.encode(text):
                tokens.append(token)
                word += tokenizer.decoder[token]
                if word.endswith("</w>"):
                    if any(character.isalnum() for character in word.removesuffix("</w>")):
                        words.append(known.issuperset(tokens))
                    tokens, word = [], ""
            counts.append((words.count(False), len(words)))
        return counts

    def class_features(self, texts: Sequence[str], templates: Sequence[str] = PLAIN) -> Tensor:
        """Unit features [B, D] of texts: the mean over all templates, brought to unit norm.

        Row i depends on text i alone.
        """
        means = [self.encode_texts([fill(template, text) for template in templates]).mean(0) for text in texts]
        return F.normalize(torch.stack(means), dim=1)

    def text_direction(self, neutral: Sequence[str], target: Sequence[str], templates: Sequence[str] = PLAIN) -> Tensor:
        """delta_t: unit directions [B, D] from neutral to target texts.

        Raises UserError if the model reads both as the same text.
        """
        difference = self.class_features(target, templates) - self.class_features(neutral, templates)
        same = (difference.norm(dim=1) < SAME).nonzero()[:, 0].tolist()
        if same:
            texts = f"{neutral[same[0]]!r} and {target[same[0]]!r}"
            raise UserError(
                f"{self.name} reads {texts} as the same text, so there is no direction between them: use another target"
            )
        return F.normalize(difference, dim=1)

    def _features(self, images: Tensor) -> Tensor:
        return F.normalize(self._embeddings(images), dim=-1)

    def _embeddings(self, images: Tensor) -> Tensor:
        return self.model.encode_image(self.preprocess.normalise(images))  # type: ignore[operator]


class InTemplates:
    """A CLIP that reads each text in templates. A text is cut if it is in the template with the most tokens."""

    def __init__(self, clip: Clip, templates: Sequence[str]) -> None:
        self.clip, self.context = clip, clip.context
        frames = [fill(template, "") for template in templates]
        self.longest = templates[max(range(len(frames)), key=clip.lengths(frames).__getitem__)]

    def cut(self, texts: Sequence[str]) -> list[bool]:
        """For each text whether its end, or that of its template, is not read."""
        return self.clip.cut([fill(self.longest, text) for text in texts])


def state_hash(model: nn.Module) -> str:
    """sha256 over names, types, shapes and bytes of a model's tensors. It does not depend on the kind of file."""
    digest = hashlib.sha256()
    for key, value in sorted(model.state_dict().items()):
        digest.update(f"{key} {value.dtype} {list(value.shape)}".encode() + value.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _by_open_clip(name: str, architecture: str, source: str) -> nn.Module:
    """A model and weights that only open_clip's own code knows: other towers, other names of tensors, downloads."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        try:
            model = open_clip.create_model(architecture, source, weights_only=True)
        except (*DAMAGED, OSError, RuntimeError, SafetensorError, UserWarning, AssertionError) as error:
            reason = next((line.strip() for line in reversed(str(error).splitlines()) if line.strip()), "")
            raise UserError(
                f"{name}: weights cannot be loaded ({reason or type(error).__name__}): give a whole file of this model"
            ) from error
    _check_whole(name, model, Path(source) if Path(source).is_file() else on_disk(name))
    return model


def _check_whole(name: str, model: nn.Module, path: Path | None) -> None:
    """Raises UserError if open_clip did not take the file's tensors as they are.

    It stretches position embeddings of another image size or context length, and makes up a missing bias.
    """
    wanted = model.state_dict()
    stored = {} if path is None else stored_tensors(path)
    made_up = [key for key in ("logit_bias",) if stored and key in wanted and key not in stored]
    stretched = [key for key, value in wanted.items() if key in stored and stored[key].numel() != value.numel()]
    for key in made_up + stretched:
        found = f"has shape {shape(stored[key])}" if key in stored else "is missing"
        raise UserError(
            f"{name}: {key} {found}, expected {shape(wanted[key])}: the file is of another model; name that one"
        )
    if (fault := misfit(wanted, wanted)) is not None:
        raise UserError(f"{name}: {fault}: give a whole file of this model")


def _preprocessing(published: Mapping[str, Any] | None) -> dict[str, Any]:
    """The preprocessing settings of a published model, which may differ from the defaults of its architecture."""
    return {
        key: value
        for key, value in (published or {}).items()
        if key in ("size", "mean", "std", "interpolation", "resize_mode")
    }


def _check_activation(name: str, architecture: str, source: Mapping[str, Any] | None) -> None:
    """Raises UserError if published weights were trained with quick-GELU and the model computes GELU, or vice versa."""
    if source is None:
        return
    trained, computes = (
        bool(config.get("quick_gelu")) for config in (source, open_clip.get_model_config(architecture))
    )
    if trained != computes:
        plain = architecture.removesuffix("-quickgelu")
        kind, other = ("quick-GELU", f"{plain}-quickgelu") if trained else ("GELU", plain)
        raise UserError(
            f"{name}: these weights were trained with {kind}, {architecture} computes another activation: use {other}"
        )


def _published_as(file: Path) -> Mapping[str, Any] | None:
    """What open_clip knows about a weights file whose hash stands in a published address, or None."""
    with file.open("rb") as opened:
        sha256 = hashlib.file_digest(opened, "sha256").hexdigest()
    for model, tag in open_clip.list_pretrained():
        config = open_clip.get_pretrained_cfg(model, tag)
        parts = Path(config.get("url", "")).parts
        if sha256 in parts or (parts and Path(parts[-1]).stem.endswith(f"-{sha256[:8]}")):
            return config
    return None
