"""StyleGAN2: one generator for every method that needs one, entered through Z, W, W+ or style space S."""

from t2ibench.networks.stylegan2.layout import Config, Layer
from t2ibench.networks.stylegan2.network import Generator

__all__ = ["Config", "Generator", "Layer"]
