"""DreamSim's embeddings (Fu et al., NeurIPS 2023), by its authors' package.

The package (`pip install dreamsim`, MIT) and its weights are the user's. The folder is the one that the package calls
`cache_dir`, unpacked, with the code of DINO that its `torch.hub` keeps there: nothing is fetched here.
"""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from t2ibench.core.errors import UserError
from t2ibench.core.files import file_hash
from t2ibench.core.images import check_uint8
from t2ibench.networks.precision import full_float32

SIZE = 224
ADVICE = "download dreamsim_ensemble_checkpoint.zip of ssundaram21/dreamsim v0.2.0, unpack it, and load it once with "
ADVICE += "the package, which puts DINO's code beside it"
ADAPTERS = {"ensemble_lora": "ensemble", "dino_vitb16_single_lora": "dino_vitb16"}  # the kind by the folder of adapters


class DreamSim:
    """Embeds images. The distance of two of them is 1 minus the cosine of their embeddings.

    sha256: over all files of weights and of their settings. resize: images are squashed to 224 pixels a side.
    """

    resize = f"{SIZE}-bicubic-pil-squash"

    def __init__(self, folder: Path, device: torch.device) -> None:
        """Raises UserError for a folder without the adapters, and without the package."""
        kinds = [kind for name, kind in ADAPTERS.items() if (folder / name).is_dir()]
        if not kinds:
            raise UserError(f"dreamsim: {folder} has no folder {' or '.join(ADAPTERS)}: {ADVICE}")
        self.kind, self.device = kinds[0], device
        try:
            import dreamsim
        except ImportError as error:
            raise UserError(f"dreamsim: the package cannot be imported ({error}): pip install dreamsim") from error
        try:
            self.model: Any
            self.model, _ = dreamsim.dreamsim(
                pretrained=True,
                device=str(device),
                cache_dir=str(folder),
                normalize_embeds=False,
                dreamsim_type=self.kind,
            )
        except Exception as error:
            reason = " ".join(str(error).split())[:200]
            raise UserError(
                f"dreamsim: its package cannot load {folder} ({type(error).__name__}: {reason}): {ADVICE}"
            ) from error
        files = [path for path in sorted(folder.rglob("*")) if path.suffix in (".pth", ".tar", ".safetensors", ".bin")]
        files += sorted(folder.glob("*_lora/adapter_config.json"))
        named = [f"{path.relative_to(folder).as_posix()} {file_hash(path)}" for path in files]
        self.sha256 = hashlib.sha256("\n".join(named).encode()).hexdigest()

    @torch.no_grad()
    @full_float32()
    def features(self, images: Tensor) -> Tensor:
        """Embeddings less their own mean, of unit norm, float32 [B, D]. images: uint8 [B, 3, H, W]."""
        check_uint8(images, "dreamsim")
        shown = [
            np.asarray(Image.fromarray(image).resize((SIZE, SIZE), Image.Resampling.BICUBIC))
            for image in images.permute(0, 2, 3, 1).cpu().numpy()
        ]
        pixels = torch.from_numpy(np.stack(shown)).permute(0, 3, 1, 2).float().div(255)
        return centred(self.model.embed(pixels.to(self.device)).float())


def centred(embeddings: Tensor) -> Tensor:
    """Embeddings [B, D] less their own mean, of unit norm."""
    moved = embeddings - embeddings.mean(1, keepdim=True)
    return moved / moved.norm(dim=1, keepdim=True)
