"""A folder of files under their published names, in their published layouts, with random weights of small networks."""

import copy
from pathlib import Path

import numpy as np
import torch
from extractor_files import midas_state, pidinet_state, simplification_state, write_simplification
from openai_clip import network, write_archive
from reed_files import encoder_file, encoder_numbers, generator_file, generator_numbers
from styleclip_models import tiny_generator
from stylegan2_files import public_state, write_pkl
from torch import nn

from t2ibench.networks.arcface import ArcFace

MAPPERS = {
    "mohawk": "mohawk hairstyle",
    "afro": "afro",
    "bobcut": "bob cut",
    "curly_hair": "curly long hair",
    "beyonce": "beyonce",
    "taylor_swift": "taylor swift",
    "surprised": "surprised",
    "purple_hair": "purple hair",
}
WORDS = {"a": 1, "the": 2, "person": 3, "has": 4, "is": 5, "with": 6, "hair": 7}
WIDTH = 24  # of the embeddings of the small CLIP
SIZE, HIDDEN = 6, 5  # of word vectors, and of StyleT2I's recurrent network


def faces(folder: Path) -> Path:
    """What `ffhq_edit`, `ffhq_adapt` and `afhq_adapt` name."""
    folder.mkdir(parents=True, exist_ok=True)
    generator = tiny_generator()
    torch.save({"g_ema": public_state(generator), "latent_avg": torch.randn(16)}, folder / "stylegan2-ffhq-config-f.pt")
    write_pkl(folder / "afhqdog.pkl")
    for seed, name in enumerate(("ViT-B-32", "ViT-B-16", "ViT-L-14")):
        write_archive(folder / f"{name}.pt", network(seed))
    rows = generator.config.rows
    torch.save(torch.randn(6, rows, 16, generator=torch.Generator().manual_seed(5)), folder / "test_faces.pt")
    for seed, (name, text) in enumerate(MAPPERS.items()):
        torch.save(mapper(text, seed), folder / f"{name}.pt")
    layers = [layer for layer in generator.config.layers if not layer.is_rgb]
    table = np.random.default_rng(0).normal(size=(sum(layer.channels for layer in layers), WIDTH)).astype("f4")
    np.save(folder / "fs3.npy", table / np.linalg.norm(table, axis=1, keepdims=True))
    torch.manual_seed(0)
    torch.save(ArcFace().state_dict(), folder / "model_ir_se50.pth")
    return folder


def extractors(folder: Path) -> Path:
    """What takes photographs apart for Composer, but for Mask R-CNN, whose file is large."""
    folder.mkdir(parents=True, exist_ok=True)
    torch.save({"epoch": 20, "state_dict": pidinet_state()}, folder / "table5_pidinet.pth")
    write_simplification(folder / "model_gan.t7", simplification_state())
    torch.save(midas_state(), folder / "dpt_large-midas-2f21e586.pt")
    return folder


def mapper(text: str, seed: int, width: int = 16) -> dict[str, object]:
    """A mapper in W+ with two levels, as the released code writes it."""
    random = torch.Generator().manual_seed(seed)
    state = {
        f"mapper.{level}.mapping.{layer}.{kind}": torch.randn(*shape, generator=random) * scale
        for level in ("course_mapping", "medium_mapping")
        for layer in (1, 2, 3, 4)
        for kind, shape, scale in (("weight", (width, width), 100), ("bias", (width,), 1))
    }
    decoder = {f"decoder.{key}": value for key, value in public_state(tiny_generator()).items()}
    return {"state_dict": {**state, **decoder}, "opts": {"description": text, "no_fine_mapper": True}}


def birds(folder: Path) -> Path:
    """What `cub_gan_cls` names."""
    folder.mkdir(parents=True, exist_ok=True)
    generator_file(folder / "cub_v2_nc4_cls0.5_int1.0_ngf128_ndf64_600_net_G.t7", generator_numbers())
    encoder = "lm_sje_nc4_cub_hybrid_gru18_a1_c512_0.00070_1_10_trainvalids.txt_iter30000.t7"
    encoder_file(folder / encoder, encoder_numbers(gated=True), pool=False)
    return folder


def stylet2i(folder: Path) -> Path:
    """What `celeba_hq_stylet2i` names."""
    folder.mkdir(parents=True, exist_ok=True)
    generator = tiny_generator()
    out = generator.config.rows * 16
    torch.save({"g_ema": public_state(generator), "latent_avg": torch.randn(16), "step": 1}, folder / "300000.pt")
    torch.manual_seed(0)
    encoder = nn.Module()
    encoder.recurrent = nn.GRU(SIZE, HIDDEN, bidirectional=True)
    wide = [nn.Linear(HIDDEN + 16, out), nn.ReLU(), nn.Linear(out, out), nn.ReLU(), nn.Linear(out, out)]
    encoder.mlp = nn.Sequential(*wide)
    adam = torch.optim.Adam(encoder.parameters()).state_dict()
    content = {"sentence_encoder": encoder.state_dict(), "sentence_encoder_optimizer": copy.deepcopy(adam)}
    torch.save(content, folder / "last.pt")
    vectors = np.random.default_rng(0).normal(size=(len(WORDS), SIZE))
    lines = [" ".join([word, *(f"{x:.6f}" for x in row)]) for word, row in zip(WORDS, vectors, strict=True)]
    (folder / "glove.840B.300d.txt").write_text("\n".join(lines) + "\n")
    return folder
