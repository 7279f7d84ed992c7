"""A tiny pipeline of each class that the suite `coco30k` names, with random weights, as its publishers save it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import diffusers_tiny
import torch
from diffusers import (
    AutoencoderKL,
    DPMSolverMultistepScheduler,
    EulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
    FluxPipeline,
    FluxTransformer2DModel,
    PixArtAlphaPipeline,
    PixArtTransformer2DModel,
    SD3Transformer2DModel,
    StableDiffusion3Pipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from diffusers_tiny import SIDE, UNET, VAE
from transformers import CLIPTextConfig, CLIPTextModelWithProjection, T5Config, T5EncoderModel, T5Tokenizer

WIDTH = 8  # of every text encoder


def sd15(folder: Path) -> Path:
    return diffusers_tiny.stable_diffusion(folder, diffusers_tiny.safety_checker(2))


def sdxl(folder: Path) -> Path:
    with _seeded():
        first, tokenizer = diffusers_tiny.text_parts(folder.parent)
        second = with_projection(first.config)
        sizes = {"addition_embed_type": "text_time", "addition_time_embed_dim": 2}
        unet: Any = UNet2DConditionModel(
            **{**UNET, **sizes, "cross_attention_dim": 2 * WIDTH},
            sample_size=SIDE // 2,
            out_channels=4,
            up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
            projection_class_embeddings_input_dim=6 * 2 + WIDTH,
            use_linear_projection=True,
        )
        scheduler: Any = EulerDiscreteScheduler(beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012)
        texts: Any = {"text_encoder": first, "text_encoder_2": second, "tokenizer": tokenizer, "tokenizer_2": tokenizer}
        return saved(StableDiffusionXLPipeline(vae=autoencoder(4), unet=unet, scheduler=scheduler, **texts), folder)


def sd3(folder: Path) -> Path:
    with _seeded():
        text, tokenizer = diffusers_tiny.text_parts(folder.parent)
        transformer = SD3Transformer2DModel(
            sample_size=SIDE // 2,
            patch_size=1,
            in_channels=4,
            num_layers=1,
            attention_head_dim=4,
            num_attention_heads=4,
            joint_attention_dim=2 * WIDTH,
            caption_projection_dim=16,
            pooled_projection_dim=2 * WIDTH,
            out_channels=4,
        )
        clips: Any = {
            "text_encoder": with_projection(text.config),
            "text_encoder_2": with_projection(text.config),
            "tokenizer": tokenizer,
            "tokenizer_2": tokenizer,
        }
        t5: Any = {"text_encoder_3": t5_encoder(2 * WIDTH), "tokenizer_3": t5_tokenizer()}
        scheduler = FlowMatchEulerDiscreteScheduler()
        pipeline = StableDiffusion3Pipeline(transformer, scheduler, autoencoder(4, shift=True), **clips, **t5)
        return saved(pipeline, folder)


def flux(folder: Path) -> Path:
    with _seeded():
        text, tokenizer = diffusers_tiny.text_parts(folder.parent)
        transformer = FluxTransformer2DModel(
            in_channels=4 * 4,
            num_layers=1,
            num_single_layers=1,
            attention_head_dim=16,
            num_attention_heads=1,
            joint_attention_dim=WIDTH,
            pooled_projection_dim=WIDTH,
            axes_dims_rope=(4, 4, 8),
        )
        parts: Any = {"text_encoder": text, "tokenizer": tokenizer}
        t5: Any = {"text_encoder_2": t5_encoder(WIDTH), "tokenizer_2": t5_tokenizer()}
        scheduler = FlowMatchEulerDiscreteScheduler(shift=1.0)
        vae = autoencoder(4, shift=True)
        return saved(FluxPipeline(scheduler, vae=vae, transformer=transformer, **parts, **t5), folder)


def pixart(folder: Path) -> Path:
    with _seeded():
        transformer = PixArtTransformer2DModel(
            num_attention_heads=2,
            attention_head_dim=8,
            in_channels=4,
            out_channels=8,
            num_layers=1,
            cross_attention_dim=16,
            sample_size=SIDE // 2,
            caption_channels=WIDTH,
            use_additional_conditions=False,
        )
        texts: Any = {"tokenizer": t5_tokenizer(), "text_encoder": t5_encoder(WIDTH)}
        scheduler: Any = DPMSolverMultistepScheduler()
        return saved(
            PixArtAlphaPipeline(vae=autoencoder(4), transformer=transformer, scheduler=scheduler, **texts), folder
        )


# the row of coco30k: the writer of a tiny pipeline of its class
FAMILIES: dict[str, Callable[[Path], Path]] = {
    "sd-1.5": sd15,
    "sdxl": sdxl,
    "sd-3": sd3,
    "flux-schnell": flux,
    "pixart": pixart,
}


def autoencoder(channels: int, shift: bool = False) -> AutoencoderKL:
    more = {"shift_factor": 0.06, "scaling_factor": 1.5} if shift else {}
    return AutoencoderKL(**{**VAE, "latent_channels": channels, **more})


def with_projection(config: CLIPTextConfig) -> CLIPTextModelWithProjection:
    return CLIPTextModelWithProjection(CLIPTextConfig(**{**config.to_dict(), "projection_dim": WIDTH}))


def t5_encoder(width: int) -> T5EncoderModel:
    config: Any = T5Config
    blocks = {"num_layers": 1, "num_heads": 2, "relative_attention_num_buckets": 8}
    return T5EncoderModel(config(vocab_size=len(PIECES), d_model=width, d_kv=4, d_ff=8, **blocks))


PIECES = ["<pad>", "</s>", "<unk>", "▁", *(chr(code) for code in range(33, 127))]


def t5_tokenizer() -> T5Tokenizer:
    """Reads letters."""
    return T5Tokenizer([(piece, -1.0) for piece in PIECES], extra_ids=0, model_max_length=32)


def saved(pipeline: Any, folder: Path) -> Path:
    pipeline.save_pretrained(folder)
    return folder


@contextmanager
def _seeded() -> Iterator[None]:
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        yield
