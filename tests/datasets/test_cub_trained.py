"""From a copy of CUB to a board: a text encoder and a GAN learn from it, with the settings of the papers."""

import pytest
import yaml
from cub_files import write_cub


@pytest.mark.slow
def test_a_text_encoder_and_a_gan_learn_from_cub_and_come_to_a_board(tmp_path, monkeypatch, t2ibench):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("T2IBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("T2IBENCH_WEIGHTS", str(tmp_path / "trained"))
    write_cub(tmp_path / "cub")
    for variant in ("text-encoder", "gan-int-cls"):
        few = ("--set", "dataset.partial=true", "--set", "batch=2", "--steps", "2", "--out", "trained")
        answer = t2ibench("train", "gan_cls", "--variant", variant, "--dataset", "cub", *few)
        assert answer.returncode == 0, answer.stderr
    suite = {
        "dataset": {"name": "cub", "root": "cub", "partial": True, "size": 64},
        "reference": {"split": "train"},
        "methods": [{"name": "gan-int-cls", "weights": "gan-int-cls-cub"}],
        "baselines": ["real", "shuffled"],
        "prompts": {"split": "test", "captions": 3},
        "metrics": [{"name": "prdc", "extractor": "attribute-judge-avatars", "k": 1}],
    }
    (tmp_path / "birds.yaml").write_text("# Three birds\n" + yaml.safe_dump(suite))
    answer = t2ibench("run", "birds.yaml", "--out", "runs", "--work", "runs")
    assert answer.returncode == 0, answer.stderr
    assert "gan-int-cls" in answer.stdout
