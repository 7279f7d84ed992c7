"""ImageReward v1.0 (Xu et al., NeurIPS 2023): how much do people like an image for a text?

BLIP (a ViT-L/16 at 224 pixels, and a BERT that looks at the image), and five linear layers on the first token. The
networks are those of transformers, which is imported when the weights are read. The weights are the published
`ImageReward.pt`, and the words are `vocab.txt` of bert-base-uncased; t2ibench neither ships nor downloads them. All
sizes are those of the file, so its `med_config.json` is not needed.

The released package does not run with today's libraries. It reads its file without looking whether the tensors fit;
here a tensor that is missing, left over or of another shape is refused.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from t2ibench.core.errors import UserError
from t2ibench.core.pickles import reason
from t2ibench.networks.clip.preprocess import Preprocess
from t2ibench.networks.precision import full_float32
from t2ibench.networks.state import fill, state_dict

MEAN, STD = 0.16717362830052426, 1.0333394966054072  # of the last layer's output
TOKENS, HEAD, EPS = 35, 64, 1e-6  # tokens that are read; width of a head; of the norms of the image tower
EXPECTED = "the weights of ImageReward v1.0"
IMAGE, TEXT, MLP = "blip.visual_encoder.", "blip.text_encoder.", "mlp."
NAMES = {  # of the image tower: BLIP's -> those of transformers
    "cls_token": "embeddings.class_embedding",
    "pos_embed": "embeddings.position_embedding",
    "patch_embed.proj": "embeddings.patch_embedding",
    "norm": "post_layernorm",
    "attn.qkv": "self_attn.qkv",
    "attn.proj": "self_attn.projection",
    "norm1": "layer_norm1",
    "norm2": "layer_norm2",
}


class ImageReward:
    """The networks. `preprocess` says what they see of an image."""

    def __init__(
        self,
        state: Mapping[str, Tensor],
        tokenizer: Any,
        device: torch.device | str = "cpu",
        where: str = "image_reward",
    ) -> None:
        """state: by the names of the released code. tokenizer: as `words_of` gives it.

        Raises UserError, begun with `where`, for tensors that are not those of this network.
        """
        parts = {prefix: _below(prefix, state) for prefix in (IMAGE, TEXT, MLP)}
        parts[TEXT].pop("embeddings.position_ids", None)  # a constant
        try:
            self.vision, self.text, size = _towers(parts[IMAGE], parts[TEXT])
            widths = [value.shape for key, value in parts[MLP].items() if key.endswith(".weight")]
            self.head = head([widths[0][1], *(shape[0] for shape in widths)])
        except (LookupError, ValueError, RuntimeError, TypeError, ZeroDivisionError) as error:
            raise UserError(f"{where}: not {EXPECTED} ({reason(error)}): get the file again") from error
        fill(self.vision, {_theirs(key): value.float() for key, value in parts[IMAGE].items()}, where, EXPECTED)
        fill(self.text, {key: value.float() for key, value in parts[TEXT].items()}, where, EXPECTED)
        fill(self.head, {key.removeprefix("layers."): v.float() for key, v in parts[MLP].items()}, where, EXPECTED)
        for network in (self.vision, self.text, self.head):
            network.eval().requires_grad_(False).to(device)
        self.device, self.tokenizer, self.preprocess = torch.device(device), tokenizer, Preprocess(size)
        if (words := tokenizer.get_vocab_size()) > (known := self.text.embeddings.word_embeddings.num_embeddings):
            raise UserError(f"{where}: it knows {known:,} words, and the vocabulary has {words:,}: give the other file")

    @classmethod
    def from_files(cls, weights: Path, vocabulary: Path, device: torch.device | str = "cpu") -> "ImageReward":
        """Raises UserError for files that are missing, damaged or of other networks."""
        with torch.random.fork_rng(devices=[]):
            return cls(state_dict(weights, EXPECTED), words_of(vocabulary), device, str(weights))

    def shown(self, image: Tensor) -> Tensor:
        """What the network sees of an image uint8 [3, H, W]: uint8 [3, size, size]."""
        return self.preprocess.resize(image[None].cpu())[0]

    @torch.no_grad()
    @full_float32()
    def rewards(self, shown: Tensor, texts: Sequence[str]) -> Tensor:
        """The reward of each image for its text, float64 [B] on the CPU; not bounded. shown: as `shown`, [B, …]."""
        pixels = self.preprocess.normalise(shown.to(self.device).float() / 255)
        seen = self.vision(pixels).last_hidden_state
        self.tokenizer.enable_truncation(TOKENS)
        self.tokenizer.enable_padding(length=TOKENS)
        encoded = self.tokenizer.encode_batch(list(texts))
        ids, mask = (
            torch.tensor([getattr(one, name) for one in encoded], device=self.device)
            for name in ("ids", "attention_mask")
        )
        read = self.text(
            input_ids=ids,
            attention_mask=mask,
            encoder_hidden_states=seen,
            encoder_attention_mask=torch.ones(seen.shape[:2], dtype=torch.long, device=self.device),
            is_decoder=False,  # every token sees every other, as in the released code
        ).last_hidden_state[:, 0]
        return standardised(self.head(read)[:, 0])

    def cut(self, texts: Sequence[str]) -> int:
        """How many of the texts are longer than what is read of them."""
        self.tokenizer.no_truncation()
        self.tokenizer.no_padding()
        return sum(len(one.ids) > TOKENS for one in self.tokenizer.encode_batch(list(texts)))


def standardised(outputs: Tensor) -> Tensor:
    """The reward of the last layer's outputs, float64."""
    return (outputs.double().cpu() - MEAN) / STD


def head(widths: Sequence[int]) -> nn.Sequential:
    """The linear layers, at the places that they have among the released dropouts: 0, 2, 4, 6, 7."""
    layers: list[nn.Module] = []
    for number, (inputs, outputs) in enumerate(pairwise(widths)):
        layers += [nn.Linear(inputs, outputs), *([nn.Identity()] if number < 3 else [])]
    return nn.Sequential(*layers)


def words_of(vocabulary: Path) -> Any:
    """BERT's tokenizer of lower-case words. Raises UserError for a file that is no vocabulary."""
    from tokenizers import BertWordPieceTokenizer

    try:
        words = vocabulary.read_text("utf-8").split("\n")
    except (OSError, ValueError) as error:
        raise UserError(
            f"{vocabulary} cannot be read ({str(error).splitlines()[0]}): give the words of BERT"
        ) from error
    if missing := [word for word in ("[PAD]", "[UNK]", "[CLS]", "[SEP]") if word not in words]:
        raise UserError(f"{vocabulary}: has no line {missing[0]}, expected vocab.txt of bert-base-uncased")
    return BertWordPieceTokenizer(str(vocabulary), lowercase=True)


def _towers(image: Mapping[str, Tensor], text: Mapping[str, Tensor]) -> tuple[nn.Module, Any, int]:
    """Both networks of the sizes of the tensors, without their weights, and the side of the image that is seen."""
    from transformers import BlipTextConfig, BlipVisionConfig
    from transformers.models.blip.modeling_blip import BlipVisionModel
    from transformers.models.blip.modeling_blip_text import BlipTextModel

    width, _, patch, _ = image["patch_embed.proj.weight"].shape
    size = round((image["pos_embed"].shape[1] - 1) ** 0.5) * patch
    vision = BlipVisionConfig(
        hidden_size=width,
        intermediate_size=len(image["blocks.0.mlp.fc1.bias"]),
        num_hidden_layers=_count(image, "blocks."),
        num_attention_heads=width // HEAD,
        image_size=size,
        patch_size=patch,
        layer_norm_eps=EPS,
    )
    words, hidden = text["embeddings.word_embeddings.weight"].shape
    config = BlipTextConfig(
        vocab_size=words,
        hidden_size=hidden,
        encoder_hidden_size=width,
        intermediate_size=len(text["encoder.layer.0.intermediate.dense.bias"]),
        num_hidden_layers=_count(text, "encoder.layer."),
        num_attention_heads=hidden // HEAD,
        max_position_embeddings=len(text["embeddings.position_embeddings.weight"]),
        layer_norm_eps=1e-12,
        is_decoder=True,  # which builds the attention to the image
    )
    return BlipVisionModel(vision), BlipTextModel(config, add_pooling_layer=False), size


def _below(prefix: str, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}


def _count(state: Mapping[str, Tensor], prefix: str) -> int:
    """How many layers there are, by the numbers behind a prefix."""
    return len({key.removeprefix(prefix).split(".")[0] for key in state if key.startswith(prefix)})


def _theirs(key: str) -> str:
    """The name that transformers gives a tensor of the image tower."""
    start, number, rest = "", "", key
    if key.startswith("blocks."):
        _, number, rest = key.split(".", 2)
        start = f"encoder.layers.{number}."
    if rest in NAMES:
        return start + NAMES[rest]
    module, _, kind = rest.rpartition(".")
    return f"{start}{NAMES.get(module, module)}.{kind}"
