"""Judged squares: squares that bring a judge, which a test puts in its place."""

from t2ibench.checks.contracts.squares import (
    Config,
    domain_images,
    domain_texts,
    edited_images,
    load,
    pair_images,
    regions,
)
from t2ibench.data.split import Networks

__all__ = ["Config", "domain_images", "domain_texts", "edited_images", "load", "pair_images", "regions"]
NETWORKS = Networks(judge="attribute-judge-avatars")  # a test puts its own in its place
