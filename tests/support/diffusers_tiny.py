"""Pipelines of diffusers with random weights, a few ten thousand parameters, saved as their users save them; 16x16
images.
"""

import json
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, ControlNetModel, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from diffusers.pipelines.stable_diffusion import StableDiffusionSafetyChecker
from transformers import CLIPConfig, CLIPImageProcessor, CLIPTextConfig, CLIPTextModel, CLIPTokenizer

SIDE = 16
UNET: dict[str, Any] = {
    "in_channels": 4,
    "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
    "block_out_channels": (8, 8),
    "layers_per_block": 1,
    "cross_attention_dim": 8,
    "attention_head_dim": 2,
    "norm_num_groups": 4,
}
VAE: dict[str, Any] = {
    "down_block_types": ("DownEncoderBlock2D", "DownEncoderBlock2D"),
    "up_block_types": ("UpDecoderBlock2D", "UpDecoderBlock2D"),
    "block_out_channels": (8, 8),
    "norm_num_groups": 4,
    "latent_channels": 4,
    "layers_per_block": 1,
    "sample_size": SIDE,
}
START, END = "<|startoftext|>", "<|endoftext|>"


def stable_diffusion(folder: Path, checker: StableDiffusionSafetyChecker | None = None, seed: int = 0) -> Path:
    """A StableDiffusionPipeline in `folder`; the same seed makes the same weights."""
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        text, tokenizer = text_parts(folder.parent)
        unet = UNet2DConditionModel(
            sample_size=SIDE // 2, out_channels=4, up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"), **UNET
        )
        vae = AutoencoderKL(**VAE)
    scheduler = DDIMScheduler(
        beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012, clip_sample=False, steps_offset=1
    )
    extractor = (
        None if checker is None else CLIPImageProcessor(size={"shortest_edge": 4}, crop_size={"height": 4, "width": 4})
    )
    parts: dict[str, Any] = {
        "vae": vae,
        "text_encoder": text,
        "tokenizer": tokenizer,
        "unet": unet,
        "scheduler": scheduler,
    }
    pipeline: Any = StableDiffusionPipeline(
        **parts, safety_checker=checker, feature_extractor=extractor, requires_safety_checker=checker is not None
    )
    pipeline.save_pretrained(folder)
    return folder


def text_parts(folder: Path) -> tuple[CLIPTextModel, CLIPTokenizer]:
    """A text encoder that reads letters: every printable character is a token, within a word or at its end."""
    letters = [chr(code) for code in range(33, 127)]
    words = [*letters, *(f"{letter}</w>" for letter in letters), START, END]
    vocabulary, merges = folder / "vocab.json", folder / "merges.txt"
    vocabulary.write_text(json.dumps({word: index for index, word in enumerate(words)}))
    merges.write_text("#version: 0.2\n")
    tokenizer = CLIPTokenizer(str(vocabulary), str(merges), model_max_length=24)
    last = len(words) - 1
    sizes: dict[str, Any] = {
        "hidden_size": 8,
        "intermediate_size": 8,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "max_position_embeddings": 24,
    }
    config = CLIPTextConfig(vocab_size=len(words), bos_token_id=last - 1, eos_token_id=last, pad_token_id=last, **sizes)
    return CLIPTextModel(config), tokenizer


def controlnet(folder: Path, seed: int = 1) -> Path:
    """A ControlNet that fits the tiny UNet; its last layers are not zero, as those of a trained one are not."""
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        model: Any = ControlNetModel(**UNET, conditioning_embedding_out_channels=(8, 8))
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter, std=0.3)
    model.save_pretrained(folder)
    return folder


def safety_checker(threshold: float) -> StableDiffusionSafetyChecker:
    """Flags images of which a cosine is above `threshold`: every image at -2, none at 2."""
    sizes = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
    checker = StableDiffusionSafetyChecker(
        CLIPConfig(vision_config={**sizes, "image_size": 4, "patch_size": 2}, projection_dim=4)
    )
    checker.concept_embeds_weights.data.fill_(threshold)
    checker.special_care_embeds_weights.data.fill_(2.0)
    return checker
