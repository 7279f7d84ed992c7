"""What an adapted generator keeps of its sources: the share of an image's attributes whose judged value stays. In [0, 1]; higher is better.

Adapted image and source are of one latent. An attribute counts in a target where the judge passes its gate (balanced accuracy) on real
images of that very domain, and on those that the sources belong to: what a judge of coloured drawings says of hair colours in sepia
means nothing, and is not read. A domain whose real images have no known attributes cannot be judged at all; it is listed
(`not_judged`) and counts nowhere, so read with `targets` which ones the number is about. Doing nothing keeps everything.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np

from t2ibench.data import Split
from t2ibench.edit_judged import kept, kept_estimate
from t2ibench.edit_pairs import edit_pairs, literal
from t2ibench.errors import UserError
from t2ibench.evidence import Evidence
from t2ibench.judge_gate import Gate, RealCells, Verdict
from t2ibench.records import Estimate
from t2ibench.seeds import derive_seed
from t2ibench.visibility import covers

TRACKS = ("adapt",)
UNKNOWN = "no attributes of its real images are known"


@dataclass(frozen=True)
class Config:
    pass


def score(evidence: Evidence, config: Config) -> dict[str, Estimate]:
    """`attributes_kept`. Raises UserError for a data set without attributes, and where the judge can tell none in any target."""
    table = evidence.train.attributes
    if table is None or evidence.reference.attributes is None:
        raise UserError(f"{evidence.train.dataset} has no attributes that could be kept: leave attributes_kept out")
    pairs, gate = edit_pairs(evidence), Gate()
    after, before = pairs.judged(evidence)
    same, of_sources = kept(before, after, pairs.prompts, covers(table)), verdicts(evidence, evidence.reference, list(before), gate)
    asked, refused = np.array([literal(prompt) for prompt in pairs.prompts], dtype=object), dict[str, object]()
    for domain in evidence.targets:
        split = evidence.target(domain)
        of_target = {} if split.attributes is None else verdicts(evidence, split, list(before), gate)
        unknown = [name for name in before if name not in of_target or of_target[name].failures or of_sources[name].failures]
        same.loc[asked == domain, unknown] = np.nan
        reasons = {name: [*of_sources[name].failures, *of_target[name].failures] for name in unknown if name in of_target}
        if unknown:
            refused[domain] = reasons or UNKNOWN
    protocol = {
        **pairs.protocol,
        "judge": evidence.extractor_protocol(evidence.judge),
        "reference": evidence.reference.digest,
        "targets": {domain: evidence.target(domain).digest for domain in evidence.targets},
        "train": evidence.train.digest,
        "gate": asdict(gate),
    }
    seed = derive_seed(evidence.seed, "attributes_kept")
    return {"attributes_kept": kept_estimate(pairs, same, protocol, seed, {"not_judged": refused})}


def verdicts(evidence: Evidence, split: Split, names: list[str], gate: Gate) -> Mapping[str, Verdict]:
    """Whether the judge may speak about each attribute on images like those of a split."""
    real = RealCells(split, evidence.real_attributes, evidence.real_probabilities, None, 0, gate)
    return {name: real.attribute(name) for name in names}
