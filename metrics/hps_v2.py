"""HPS v2 (Wu et al., 2023): how much do people like an image for its text? Cosine; higher is better.

A CLIP ViT-H/14 of open_clip that was trained on choices of people. The value is the mean cosine of an image and its
text; `benchmark_100` in the details is 100 times that, the scale of the published tables. It does not see an image as
other CLIPs do: the longer side becomes 224 pixels, and the rest of the square is black, so nothing is cropped.

The weights are the published `HPS_v2_compressed.pt` or `HPS_v2.1_compressed.pt` of xswu/HPSv2 (Apache-2.0), which
t2ibench neither ships nor downloads. The two give numbers that do not compare, and the protocol says which was taken,
by its hash. The released package takes v2.0 for one image and v2.1 for its benchmark, and on a GPU half precision,
which makes steps of 0.00024; here all is float32.
"""

from dataclasses import dataclass

from t2ibench.core.records import Estimate
from t2ibench.scoring import preferences
from t2ibench.scoring.evidence import Evidence
from t2ibench.scoring.references import cosines

READS_TEXTS = True
QUESTIONS = {"hps_v2": "how much would people like this image for its text, as HPS v2 learned it?"}
ADVICE = "download HPS_v2.1_compressed.pt of xswu/HPSv2 from Hugging Face, and name it as `clip` (ViT-H-14:FILE)"


@dataclass(frozen=True)
class Config:
    clip: str = "ViT-H-14:HPS_v2.1_compressed.pt"  # the model of open_clip, and the published file
    group: str = "captions"


def score(evidence: Evidence, config: Config) -> dict[str, Estimate]:
    """`hps_v2`. Raises UserError below two images, and for weights that are missing."""
    preferences.check_there("hps_v2", config.clip.partition(":")[2], ADVICE)
    texts = preferences.texts_of(evidence, config.group, "hps_v2")
    extractor = f"letterbox:{config.clip}"
    images = evidence.fake_image_features(extractor, config.group)
    values = cosines(images, evidence.text_features(config.clip, texts))
    protocol = {
        **evidence.extractor_protocol(extractor),
        **preferences.asked(evidence, config.group),
        "estimator": "mean cosine",
    }
    details = {"benchmark_100": 100 * float(values.mean()), **evidence.words(config.clip, texts)}
    return {"hps_v2": preferences.estimate(evidence, "hps_v2", config.group, values, protocol, details)}
