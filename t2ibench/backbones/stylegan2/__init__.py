"""StyleGAN2: one generator for every method that needs one, entered through Z, W, W+ or style space S."""

from t2ibench.backbones.stylegan2.layout import Config, Layer
from t2ibench.backbones.stylegan2.network import Generator
from t2ibench.backbones.stylegan2.recipe import NAMES, PARTS, recipe

__all__ = ["NAMES", "PARTS", "Config", "Generator", "Layer", "recipe"]
