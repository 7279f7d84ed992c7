"""A model that answers questions about images as a test says, and the evidence of images that it is asked about."""

import numpy as np
from no_images import NoImages

from t2ibench.data.split import Split
from t2ibench.data.stores import ArrayImages
from t2ibench.networks.models import Models
from t2ibench.networks.vqa.contract import Answers
from t2ibench.scoring.evidence import Evidence, Samples
from t2ibench.tracks.contract import Prompt


class Scripted:
    """Answers questions as a test says: question -> (P of each set, chosen). Notes what it was asked."""

    name, sha256 = "scripted", "0" * 64

    def __init__(self, script):
        self.script, self.asked = script, []

    def protocol(self, sets):
        return {"vqa": self.name, "sha256": self.sha256, "answers": [list(one) for one in sets]}

    def answers(self, images, rows, questions, sets):
        self.asked += [(int(images[row].max()), question) for row, question in zip(rows, questions, strict=True)]
        given = [self.script(int(images[row].max()), q, sets) for row, q in zip(rows, questions, strict=True)]
        return Answers(
            np.array([p for p, _ in given], np.float32), np.array([chosen for _, chosen in given]), [""] * len(given)
        )


def evidence_of(model, texts, tmp_path, ok=None, images_each=1, kind=Evidence, **more):
    """Image i has the grey level i + 1."""
    prompts = [Prompt(f"p{i}", text, images=images_each) for i, text in enumerate(texts)]
    asked = [(prompt, k) for prompt in prompts for k in range(images_each)]
    pixels = np.stack([np.full((3, 2, 2), i + 1, np.uint8) for i in range(len(asked))])
    hashes = [f"h{i}" for i in range(len(asked))]
    good = np.ones(len(asked), bool) if ok is None else np.array(ok)
    samples = Samples([p for p, _ in asked], [k for _, k in asked], good, hashes, ArrayImages(pixels, hashes))
    real = Split("real", "reference", ["r"], NoImages(1), [("",)])
    models = Models(cache=tmp_path)
    models._vqas = {("scripted", False): model, ("scripted", True): model}
    return kind(train=real, reference=real, prompts=prompts, samples={"captions": samples}, models=models, **more)
