"""The attribute judge: one small CNN that predicts every attribute of an image, with calibrated probabilities.

Its features are also those of the embedded Fréchet distance. It is trained on real images only, and on a split whose
attributes are independent. So it cannot learn which attributes occur together, as compositional accuracy requires. An
attribute that cannot be seen in an image has no label and adds no loss; the judge's answer there means nothing.
"""

from t2ibench.networks.attribute_judge.judge import AttributeJudge

__all__ = ["AttributeJudge"]
