"""Whole runs on a pretended CUDA device: every track, with the metrics of its suite, gives the values of the CPU."""

import json
from pathlib import Path
from typing import Any

import pytest
from pretend_cuda import pretended

pytestmark = [pytest.mark.gpu, pytest.mark.slow]

JUDGE = "extractor: attribute-judge-avatars"
SUITES = {
    "text_to_image": f"""
reference: {{split: val, limit: 40}}
methods: [gan-int-cls]
baselines: [real]
prompts: {{split: test, captions: 110}}
metrics:
  - {{name: fid, {JUDGE}, fewest: 2}}
  - {{name: kid, {JUDGE}, fewest: 2}}
  - {{name: prdc, {JUDGE}}}
  - {{name: cmmd, clip: clip-judge-avatars, fewest: 2}}
  - clip_score
  - r_precision
""",
    "pairs": """
reference: {split: val, limit: 400}
methods: [gan-int-cls]
baselines: [real]
prompts: {split: test, captions: 20}
metrics:
  - {name: compositional_accuracy, images: 8, single_images: 0, rare_pairs: 2, near_unseen_pairs: 1, over_pairs: 1,
     neutral_pairs: 1, calibration_images: 20}
  - {name: pair_r_precision, pool: 3}
""",
    "edit": """
tracks: [edit]
reference: {split: val, limit: 200}
methods: [styleclip-global]
baselines: [exact, {name: unedited, of: styleclip-global}]
edits: {images: 2, literals: [eyewear=glasses, hair_colour=blond]}
metrics: [directional_similarity, edit_success, identity, locality]
""",
    "adapt": f"""
tracks: [adapt]
reference: {{split: val, limit: 40}}
methods: [stylegan-nada]
baselines: [real, {{name: unadapted, of: stylegan-nada}}]
adapt: {{images: 12, reference: 40, targets: [sepia]}}
metrics:
  - {{name: fid, {JUDGE}, fewest: 2}}
  - {{name: diversity, {JUDGE}}}
  - {{name: structure, {JUDGE}}}
  - {{name: attributes_kept, lessons: 200}}
  - directional_similarity
""",
    "compose": f"""
tracks: [compose]
reference: {{split: val, limit: 40}}
methods: [{{name: composer, steps: 1, inversion_steps: 1, prior_steps: 1}}]
baselines: [source, other]
compose: {{inputs: 3, split: test, tasks: [T, EPSD, GIM, style, reconf_S]}}
metrics: [condition_fidelity, reconstruction, {{name: fid, {JUDGE}, fewest: 2}}]
""",
}


def values(folder: Path) -> dict[str, Any]:
    """Every value of every method, by both names."""
    found: dict[str, Any] = {}
    for path in sorted((folder / "records").rglob("*.json")):
        record = json.loads(path.read_text())
        found |= {f"{record['method']} {name}": value["value"] for name, value in record["values"].items()}
    return found


@pytest.mark.parametrize("track", SUITES)
def test_a_track_is_run_and_scored_on_cuda_as_on_the_cpu(track, t2ibench, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path(f"{track}.yaml").write_text(
        f"# The track {track}, small. A minute.\ndataset: {{name: avatars}}{SUITES[track]}"
    )
    there = t2ibench("run", f"{track}.yaml", "--out", "cpu", "--work", "cpu-work")
    assert there.returncode == 0, there.stderr
    with pretended():
        here = t2ibench("run", f"{track}.yaml", "--out", "cuda", "--work", "cuda-work", "--device", "cuda:0")
    assert here.returncode == 0, here.stderr
    made, expected = values(Path("cuda")), values(Path("cpu"))
    assert made.keys() == expected.keys()
    assert len(made) > 5
    for name, value in made.items():
        assert value == pytest.approx(expected[name], abs=1e-2, rel=1e-2), name
