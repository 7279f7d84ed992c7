"""DreamSim (Fu et al., NeurIPS 2023): how far is an image from its reference, as people see it? In [0, 2]; lower is
better.

The mean of 1 - cosine of DreamSim's embeddings of a made image and its reference: the real image of a caption, the
image before an edit, or the image A of a composition (`t2ibench/scoring/references.py`). The networks are those of the
authors' package, whose folder of weights is named as `weights` (`t2ibench/networks/dreamsim.py`).

A method that copies the reference scores 0. Read it beside the details `another`, the distance of two different
references.
"""

from dataclasses import dataclass

from t2ibench.core.errors import UserError
from t2ibench.core.records import Estimate
from t2ibench.core.seeds import derive_seed
from t2ibench.networks.dreamsim import ADVICE
from t2ibench.scoring.evidence import Evidence
from t2ibench.scoring.references import cosines, estimate, reference_pairs

TRACKS = ("text_to_image", "edit", "adapt", "compose")
COMPARES_IN = ("text_to_image",)
QUESTIONS = {"dreamsim": "how far is an image from its reference, as people see it?"}


@dataclass(frozen=True)
class Config:
    weights: str = ""  # the package's cache_dir, with the weights unpacked


def score(evidence: Evidence, config: Config) -> dict[str, Estimate]:
    """`dreamsim`. Raises UserError without the folder or the package, and below two references."""
    if not config.weights:
        raise UserError(f"dreamsim: no folder of its weights is given: {ADVICE}, and name it as weights")
    extractor, pairs = f"dreamsim:{config.weights}", reference_pairs(evidence)
    made, reference, references = pairs.features(evidence, extractor)
    return {
        "dreamsim": estimate(
            pairs,
            1 - cosines(made, reference),
            another=float((1 - cosines(references, references.roll(1, 0))).mean()),
            protocol={**evidence.extractor_protocol(extractor), "estimator": "mean distance"},
            better="lower",
            seed=derive_seed(evidence.seed, "dreamsim"),
        )
    }
