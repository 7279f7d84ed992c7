"""What the released code can learn from beside a pair of texts: a few images of the target, patches, and a texture.

No figure of the authors uses patches or textures; their weights are 0 by default. Images of the target take the place
of the texts in the direction loss: the direction then goes from the generator's own images to them.
"""

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from t2ibench.core.errors import UserError
from t2ibench.core.images import read_image, to_float, to_uint8
from t2ibench.data.listing import image_files, no_image
from t2ibench.methods.stylegan_nada.settings import Config
from t2ibench.networks.clip import Clip
from t2ibench.networks.clip.model import SAME
from t2ibench.networks.models import Models

PARTS = (  # of animals, around both texts
    "the paw of a {}.",
    "the nose of a {}.",
    "the eye of the {}.",
    "the ears of a {}.",
    "an eye of a {}.",
    "the tongue of a {}.",
    "the fur of the {}.",
    "colorful {} fur.",
    "a snout of a {}.",
    "the teeth of the {}.",
    "the {}s fangs.",
    "a claw of the {}.",
    "the face of the {}",
    "a neck of a {}",
    "the head of the {}",
)


def target_files(config: Config) -> list[Path]:
    """The images of the target: those that are named, and those in folders that are named, in natural order.

    Raises UserError for a path that is missing, and for a folder without images.
    """
    files: list[Path] = []
    for path in map(Path, config.target_images):
        if path.is_dir():
            listing = image_files(path)
            if not listing.images:
                raise no_image(listing)
            files += [path / name for name in listing.images]
        elif path.is_file():
            files.append(path)
        else:
            raise UserError(f"stylegan_nada: target_images: {path} is missing: name images, or a folder of them")
    return files


def picture(path: Path) -> Tensor:
    """An image file as uint8 [1, 3, H, W]. Raises UserError for a file that is no image."""
    return torch.from_numpy(np.ascontiguousarray(read_image(path).transpose(2, 0, 1)))[None]


def image_direction(clip: Clip, files: list[Path], samples: Tensor) -> Tensor:
    """The unit direction [D] from the mean features of the generator's samples to those of images of the target.

    samples: floats in about [-1, 1], [M, 3, H, W]. As released, the means are not normalised before the subtraction.
    Raises UserError if the CLIP reads both as equal.
    """
    before = clip.encode_images(to_uint8(samples).cpu()).mean(0)
    after = torch.cat([clip.encode_images(picture(path)) for path in files]).mean(0)
    if (after - before).norm() < SAME:
        raise UserError(
            f"{clip.name} reads the {len(files)} target_images as it does the generator's own, so there is no "
            f"direction between them: use images of another domain"
        )
    return F.normalize(after - before, dim=0)


def patches(before: Tensor, after: Tensor, side: int, stream: torch.Generator) -> tuple[Tensor, Tensor]:
    """A random square of each image, at the same place of `before` and `after`: [B, 3, side, side].

    Raises UserError for images that are not larger than a patch.
    """
    height, width = before.shape[2:]
    if min(height, width) <= side:
        raise UserError(
            f"stylegan_nada: patch_side is {side}, but the generator's images have {min(height, width)} pixels: use a "
            f"smaller one"
        )
    rows, columns = (torch.randint(size - side, (len(before),), generator=stream).tolist() for size in (height, width))

    def cut(images: Tensor) -> Tensor:
        corners = zip(images, rows, columns, strict=True)
        return torch.stack([image[:, top : top + side, left : left + side] for image, top, left in corners])

    return cut(before), cut(after)


class Texture:
    """The squared distance of images to one that shows a texture, in the embeddings of a CLIP."""

    def __init__(self, config: Config, models: Models) -> None:
        """Raises UserError for a file that is no image, and for a CLIP that is not there."""
        self.clip, path = models.clip(config.texture_clip), Path(config.texture)
        with torch.no_grad():
            self.wanted = self.clip.image_embeddings(to_float(picture(path)).to(models.device), clamp=False)  # [1, D]
        models.file(str(path))

    def loss(self, images: Tensor) -> Tensor:
        """Mean over images and dimensions, a scalar; images are floats in about [-1, 1], [B, 3, H, W]."""
        made = self.clip.image_embeddings(images, clamp=False)
        return F.mse_loss(made, self.wanted.expand_as(made))
