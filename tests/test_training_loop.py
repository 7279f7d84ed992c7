"""docs/training_loop.md: the two callbacks train a toy model and log what the functions say of all its images."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader

from t2ibench.metrics.prdc import prdc
from t2ibench.stats.frechet import frechet_distance

PAGE = (Path(__file__).parent.parent / "docs" / "training_loop.md").read_text("utf-8")
D = 3
REAL = torch.rand(40, 3, 4, 4, generator=torch.Generator().manual_seed(1))
BATCHES: Any = [(image, f"text {row}") for row, image in enumerate(REAL)]


def block(title: str) -> dict:
    """The names that the code below a heading defines. It is at most 25 lines long."""
    [code] = re.findall(rf"## {title}\n.*?```python\n(.*?)```", PAGE, re.S)
    assert len([line for line in code.splitlines() if line.strip()]) <= 22
    names: dict = {"__name__": "docs"}
    exec(code, names)
    return names


def features(images: torch.Tensor) -> torch.Tensor:
    return images.float().mean((2, 3))


def expected(made: torch.Tensor) -> dict[str, float]:
    real, made = features(REAL), features(made)
    return {"fd": frechet_distance(made, real), **prdc(real, made, 5)}


def sampled(level: torch.Tensor, texts) -> torch.Tensor:
    """An image for each text: its number decides the noise."""
    rows = [torch.rand(3, 4, 4, generator=torch.Generator().manual_seed(int(text.split()[1]))) for text in texts]
    return torch.stack(rows) * level


@pytest.mark.filterwarnings("ignore")
def test_lightning_logs_the_values_of_all_validation_images(tmp_path):
    pl = pytest.importorskip("pytorch_lightning", reason="not installed: pip install 't2ibench[dev-all]'")

    class Toy(pl.LightningModule):  # type: ignore[misc, name-defined]
        def __init__(self):
            super().__init__()
            self.level = torch.nn.Parameter(torch.tensor(0.5))

        def sample(self, texts):
            return sampled(self.level.detach(), texts)

        def training_step(self, batch, index):
            return (self.level - 1) ** 2

        def validation_step(self, batch, index):
            return None

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), 0.1)

    trainer = pl.Trainer(
        max_epochs=1,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=tmp_path,
        callbacks=[block("Lightning")["Quality"](features, D)],
    )
    toy = Toy()
    loader: Any = DataLoader(BATCHES, batch_size=16)
    trainer.fit(toy, loader, loader)
    made = sampled(toy.level.detach(), [text for _, text in BATCHES])
    for name, value in expected(made).items():
        assert float(trainer.callback_metrics[name]) == pytest.approx(value, abs=1e-4)


def test_accelerate_logs_the_values_of_all_validation_images():
    accelerate = pytest.importorskip("accelerate", reason="not installed: pip install 't2ibench[pipelines]'")
    accelerator = accelerate.Accelerator(cpu=True)

    class Toy(torch.nn.Module):
        def sample(self, texts):
            return sampled(torch.tensor(0.5), texts)

    model, loader = accelerator.prepare(Toy(), DataLoader(BATCHES, batch_size=16))
    found = block("accelerate")["evaluate"](accelerator, model, loader, features, D, step=1)
    assert found == pytest.approx(expected(sampled(torch.tensor(0.5), [text for _, text in BATCHES])), abs=1e-6)
