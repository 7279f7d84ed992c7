"""The attribute judge: one small CNN that names every attribute of an image, calibrated; its features make the embedded
Fréchet distance.

It is trained on real images alone, and on a split in which attributes are independent, so that it cannot lean on
co-occurrence (`compositional accuracy` needs that). A value that cannot be seen has no label and no loss; what the
judge says there means nothing.
"""

from t2ibench.networks.attribute_judge.judge import AttributeJudge

__all__ = ["AttributeJudge"]
