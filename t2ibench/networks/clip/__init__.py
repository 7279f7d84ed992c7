"""CLIP models behind one interface: those of the zoo, and those of `open_clip` by name and pretrained tag or file.

A guide (optimised by a method) and a judge (scores) are never the same weights.
"""

from t2ibench.networks.clip.model import Clip

__all__ = ["Clip"]
