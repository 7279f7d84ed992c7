"""CLIP models behind one interface: those of the zoo, and those of `open_clip` by name and pretrained tag or file.

A guide is a CLIP that a method optimises; a judge is a CLIP that scores. They never have the same weights.
"""

from t2ibench.networks.clip.model import Clip

__all__ = ["Clip"]
