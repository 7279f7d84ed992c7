"""The images that ControlNets read: floats [3, H, W] in [0, 1], 1 is white, one for each condition that is a map.

Sketch: white strokes on black, like those of Canny. Instances: a silhouette. Depth: a proxy made from a silhouette, 1
is near. Intensity: the grey image.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from t2ibench.core.errors import UserError
from t2ibench.data.representations.depth import proxy
from t2ibench.data.representations.instances import silhouettes
from t2ibench.data.representations.intensity import REC601, intensity
from t2ibench.data.representations.sketch import canny
from t2ibench.methods.diffusers_pipeline.drawing import resized
from t2ibench.methods.diffusers_pipeline.settings import MAPS
from t2ibench.tracks.compose_tasks import NAMES, Task
from t2ibench.tracks.contract import Compose, Source


def check(task: Task, controlnets: Sequence[str]) -> None:
    """Raises UserError for a task that does not draw from noise, or has a condition that no ControlNet reads."""
    if task.mode != "sample":
        raise UserError(
            f"diffusers_pipeline: a task inverts or interpolates ({task.about}), which it does not: take the task out"
        )
    lacking = [NAMES[letter] for letter in task.given if letter != "T" and NAMES[letter] not in controlnets]
    if lacking:
        mend = (
            f"name one under controlnets: {{{lacking[0]}: …}}, or take it out" if lacking[0] in MAPS else "take it out"
        )
        raise UserError(
            f"diffusers_pipeline: a task has the condition {lacking[0]}, which none of the ControlNets reads: {mend}"
        )


def prompt(request: Compose) -> str:
    """The task's text, or "" if it has none. Raises ValueError if the source of the text has no caption."""
    if "T" not in request.task.given:
        return ""
    caption = request.sources[request.task.given["T"]].caption
    if caption is None:
        raise ValueError(f"the source {request.task.given['T']} has no caption")
    return caption


def maps(request: Compose, size: tuple[int, int]) -> dict[str, Tensor]:
    """The map that each ControlNet reads, by name. size: height and width."""
    given: Mapping[str, str] = request.task.given
    sources = {NAMES[letter]: request.sources[source] for letter, source in given.items() if NAMES[letter] in MAPS}
    return {
        name: resized(extracted(name, source)[None], *size)[0].expand(3, -1, -1) for name, source in sources.items()
    }


def extracted(name: str, source: Source) -> Tensor:
    """One condition of one source, float32 [1, H, W] in [0, 1].

    Raises ValueError for a source without an image to take it from.
    """
    if name == "sketch" and source.strokes is not None:
        return torch.from_numpy(source.strokes)[None]
    if name in ("instances", "depth") and source.silhouette is not None:
        return of_silhouette(name, source.silhouette)
    if source.image is None:
        raise ValueError(f"there is no image to take {name} from")
    image = torch.from_numpy(source.image)[None]
    if name == "sketch":
        return canny(image)[0]
    if name == "intensity":
        return intensity(image.float() / 255, torch.tensor([REC601]))[0]
    return of_silhouette(name, silhouettes(image)[0].numpy())


def of_silhouette(name: str, silhouette: np.ndarray) -> Tensor:
    """Instances or depth of a silhouette, uint8 [H, W] in {0, 1}."""
    shape = torch.from_numpy(silhouette)[None]
    return shape.float() if name == "instances" else proxy(shape)[0]
