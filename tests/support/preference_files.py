"""Files of preference models with random weights, as their publishers write them, of the smallest sizes."""

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import open_clip
import torch
from torch import Tensor

WORDS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "red", "blue", "bird", "cat", "##s", "on", "grass")
HPS = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 32, "layers": 1, "width": 32, "head_width": 16, "patch_size": 8},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
}


def pick_score(folder: Path) -> Any:
    """A folder of transformers, as PickScore_v1; returns its network."""
    from transformers import CLIPConfig, CLIPModel

    tower: dict[str, Any] = {"num_hidden_layers": 1, "num_attention_heads": 2, "hidden_act": "gelu"}
    tower |= {"hidden_size": 16, "intermediate_size": 32}
    config = CLIPConfig(
        text_config={**tower, "eos_token_id": 2},
        vision_config={**tower, "image_size": 32, "patch_size": 16},
        projection_dim=8,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = CLIPModel(config).eval()
    model.save_pretrained(folder)
    return model


def hps(folder: Path, name: str = "tiny-hps") -> tuple[str, Any]:
    """A checkpoint like HPS_v2_compressed.pt of a model that open_clip now knows; its name, and its network."""
    (folder / f"{name}.json").write_text(json.dumps(HPS))
    open_clip.add_model_config(folder / f"{name}.json")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        model = open_clip.create_model(name).eval()
    torch.save({"state_dict": model.state_dict()}, folder / "HPS_v2_compressed.pt")
    return f"{name}:{folder / 'HPS_v2_compressed.pt'}", model


def image_reward(folder: Path, side: int = 32, patch: int = 16) -> tuple[Path, Path, dict[str, Tensor]]:
    """`ImageReward.pt` and `vocab.txt`: towers of one layer and one head of 64, and the five last layers."""
    draw = torch.Generator().manual_seed(0)

    def some(*shape: int) -> Tensor:
        return 0.3 * torch.randn(shape, generator=draw) / (shape[-1] ** 0.5 if len(shape) > 1 else 1)

    def linear(name: str, outputs: int, inputs: int) -> dict[str, Tensor]:
        return {f"{name}.weight": 3 * some(outputs, inputs), f"{name}.bias": some(outputs)}

    def norm(name: str, width: int) -> dict[str, Tensor]:
        return {f"{name}.weight": 1 + some(width), f"{name}.bias": some(width)}

    image = {"cls_token": some(1, 1, 64), "pos_embed": 5 * some(1, 1 + (side // patch) ** 2, 64)}
    image |= {"patch_embed.proj.weight": 3 * some(64, 3, patch, patch), "patch_embed.proj.bias": some(64)}
    image |= {**norm("blocks.0.norm1", 64), **norm("blocks.0.norm2", 64), **norm("norm", 64)}
    image |= {**linear("blocks.0.attn.qkv", 192, 64), **linear("blocks.0.attn.proj", 64, 64)}
    image |= {**linear("blocks.0.mlp.fc1", 96, 64), **linear("blocks.0.mlp.fc2", 64, 96)}
    text = {"embeddings.word_embeddings.weight": 8 * some(len(WORDS) + 2, 64), **norm("embeddings.LayerNorm", 64)}
    text |= {
        "embeddings.position_embeddings.weight": 8 * some(40, 64),
        "embeddings.position_ids": torch.arange(40)[None],
    }
    for which in ("attention", "crossattention"):
        at = f"encoder.layer.0.{which}"
        for name in ("query", "key", "value"):
            text |= linear(f"{at}.self.{name}", 64, 64)
        text |= {**linear(f"{at}.output.dense", 64, 64), **norm(f"{at}.output.LayerNorm", 64)}
    text |= {**linear("encoder.layer.0.intermediate.dense", 96, 64), **linear("encoder.layer.0.output.dense", 64, 96)}
    text |= norm("encoder.layer.0.output.LayerNorm", 64)
    widths, mlp = (64, 32, 16, 8, 4, 1), dict[str, Tensor]()
    for place, (inputs, outputs) in zip((0, 2, 4, 6, 7), pairwise(widths), strict=True):
        mlp |= linear(f"layers.{place}", outputs, inputs)
    state = {
        **{f"blip.visual_encoder.{key}": value for key, value in image.items()},
        **{f"blip.text_encoder.{key}": value for key, value in text.items()},
        **{f"mlp.{key}": value for key, value in mlp.items()},
        **linear("blip.vision_proj", 8, 64),  # of BLIP's training, which nothing here needs
        **linear("blip.text_proj", 8, 64),
    }
    torch.save(state, folder / "ImageReward.pt")
    (folder / "vocab.txt").write_text("\n".join(WORDS) + "\n")
    return folder / "ImageReward.pt", folder / "vocab.txt", state
