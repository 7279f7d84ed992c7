"""The latent mapper (Patashnik et al., StyleCLIP, ICCV 2021, sec. 5): a small network that moves codes of a StyleGAN2 towards a text.

v' = v + residual M_t(v), in one pass; one network for each text. StyleCLIP edits with it; StyleGAN-NADA moves the codes of an adapted
generator into the region where its images show the target.
"""

from t2ibench.backbones.latent_mapper.network import LEVELS, Axis, Kind, MapperNetwork, read_released
from t2ibench.backbones.latent_mapper.stored import load, once
from t2ibench.backbones.latent_mapper.training import MapperRecipe, Settings, new_network

__all__ = ["LEVELS", "Axis", "Kind", "MapperNetwork", "MapperRecipe", "Settings", "load", "new_network", "once", "read_released"]
