"""Calls of a pipeline, all with the same number of rows.

Each request has a generator of its own for its noise, and each row that failed has a reason.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from t2ibench.core.errors import PartlyFailed, UserError

FLAGGED = "the pipeline's safety checker withheld the image"
NOT_FINITE = "the image holds NaN or infinity: use dtype float32 or bfloat16"


def draw(
    pipeline: Any, rows: Sequence[Mapping[str, Any]], seeds: Sequence[int], pass_size: int, call: Mapping[str, Any]
) -> tuple[Tensor, dict[int, str]]:
    """One image a row, uint8 [B, 3, H, W], and the reasons of rows that failed: flagged, or not finite.

    rows: the arguments of each row; images are floats [3, H, W] in [0, 1], or lists of them.
    seeds: one a row.
    pass_size: how many rows are drawn in one call.
    call: arguments that all rows share.

    Image i depends on rows[i] and seeds[i] alone. Raises ValueError for no row, and UserError if the pipeline does not
    answer with RGB images.
    """
    if not rows:
        raise ValueError("at least one request is needed")
    images, reasons = [], {}
    for start in range(0, len(rows), pass_size):
        numbers = range(start, min(start + pass_size, len(rows)))
        filled = [*numbers, *[numbers[-1]] * (pass_size - len(numbers))]
        drawn, flagged = one_pass(pipeline, [rows[i] for i in filled], [seeds[i] for i in filled], call)
        for row, image in zip(numbers, drawn, strict=False):
            if flagged[row - start]:
                reasons[row] = FLAGGED
            elif not np.isfinite(image).all():
                reasons[row] = NOT_FINITE
            images.append(np.nan_to_num(image, posinf=1, neginf=0))
    return to_uint8(images), reasons


@torch.no_grad()
def one_pass(
    pipeline: Any, rows: Sequence[Mapping[str, Any]], seeds: Sequence[int], call: Mapping[str, Any]
) -> tuple[np.ndarray, list[bool]]:
    """Images as floats in [0, 1], [B, H, W, 3], and for each whether the safety checker flagged it.

    Some schedulers draw from the global generator even if they are given others. So it is seeded with the first row's
    seed for the call, and restored afterwards.
    """
    arguments = {name: batched([row[name] for row in rows]) for name in rows[0]}
    shared = {name: [value] * len(rows) if name == "negative_prompt" else value for name, value in call.items()}
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    device = pipeline.device
    others = list(range(torch.cuda.device_count())) if torch.cuda.is_initialized() else []  # of networks that wait
    with torch.random.fork_rng([device] if device.type == "cuda" else others):
        torch.manual_seed(seeds[0])
        try:
            output = pipeline(**arguments, **shared, generator=generators, output_type="np")
        except torch.OutOfMemoryError as error:
            what = f"{len(rows)} images at once do not fit into the memory of {device}"
            raise UserError(f"diffusers_pipeline: {what}: use a smaller pass_size, or dtype: float16") from error
        except (TypeError, AttributeError, IndexError, KeyError) as error:
            given = ", ".join(f"{name}: {value!r}" for name, value in call.items()) or "no settings"
            reason = " ".join(str(error).split())[:200]
            raise UserError(
                f"diffusers_pipeline: {type(pipeline).__name__} cannot draw with {given} ({type(error).__name__}: "
                f"{reason}): is one of another type, or out of range?"
            ) from error
    images: Any = getattr(output, "images", None)
    shape = np.shape(images)
    if images is None or len(shape) != 4 or (shape[0], shape[3]) != (len(rows), 3):
        what = f"images of shape {list(shape)}" if images is not None else type(output).__name__
        raise UserError(
            f"diffusers_pipeline: {type(pipeline).__name__} answered with {what}, expected images [{len(rows)}, H, W, "
            f"3]"
        )
    flagged = getattr(output, "nsfw_content_detected", None)
    return np.asarray(images), [False] * len(rows) if flagged is None else [bool(flag) for flag in flagged]


def batched(values: Sequence[Any]) -> Any:
    """One argument of a call, from its value in each row.

    Images become one tensor, lists of images a list of tensors, and texts a list.
    """
    if isinstance(values[0], Tensor):
        return torch.stack(list(values))
    return (
        [torch.stack(images) for images in zip(*values, strict=True)] if isinstance(values[0], list) else list(values)
    )


def to_uint8(images: Sequence[np.ndarray]) -> Tensor:
    """Floats in [0, 1], each [H, W, 3], to uint8 [B, 3, H, W], rounded as diffusers rounds."""
    return (
        torch.from_numpy((np.stack(images).clip(0, 1) * 255).round().astype(np.uint8)).permute(0, 3, 1, 2).contiguous()
    )


def resized(images: Tensor, height: int, width: int) -> Tensor:
    """Floats [B, C, H, W] in [0, 1] at another size: bicubic, without aliasing."""
    if images.shape[2:] == (height, width):
        return images
    return F.interpolate(images, (height, width), mode="bicubic", antialias=True).clamp(0, 1)


def answer(images: Tensor, reasons: Mapping[int, str], side: int | None) -> Tensor:
    """The images that a track gets. side: their width and height, if they are to be scaled.

    Raises PartlyFailed if there are reasons.
    """
    if side is not None:
        images = (resized(images.float() / 255, side, side) * 255).round().to(torch.uint8)
    if reasons:
        raise PartlyFailed(images, reasons)
    return images
