"""Every reader of published weights, and every format with something hostile in it: no code runs, and the answer is one
line that begins with the file.
"""

import io
import json
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from styleclip_models import tiny_generator
from torch7_files import Thing, write

from t2ibench.core.errors import UserError
from t2ibench.methods.composer.decompose import edges, midas, simplification
from t2ibench.methods.gan_cls.published import read_encoder, read_generator
from t2ibench.methods.styleclip import published as styleclip
from t2ibench.methods.stylet2i import published as stylet2i
from t2ibench.networks.arcface import ArcFace
from t2ibench.networks.clip import Clip
from t2ibench.networks.dinov2 import DINOv2
from t2ibench.networks.latent_mapper import read_released
from t2ibench.networks.lpips import Lpips
from t2ibench.networks.stylegan2 import checkpoints, latents, published_encoders
from t2ibench.scoring import reference_files

GENERATOR = tiny_generator()
LAYOUT = GENERATOR.config
READERS: dict[str, Callable[[Path], Any]] = {
    "CLIP": lambda path: Clip.from_file(str(path)),
    "StyleGAN2": checkpoints.load,
    "latents": lambda path: latents.read(path, LAYOUT),
    "mapper": lambda path: read_released(path, GENERATOR),
    "encoder": lambda path: published_encoders.read(path, GENERATOR),
    "ArcFace": ArcFace.from_file,
    "LPIPS": lambda path: Lpips.from_files(path, path),
    "DINOv2": DINOv2.from_file,
    "table of directions": lambda path: styleclip.direction_table(path, LAYOUT.layers, 8),
    "statistics of styles": lambda path: styleclip.style_statistics(path, LAYOUT.layers),
    "codes of styles": lambda path: styleclip.style_codes(path, LAYOUT.layers),
    "mapped latents": lambda path: styleclip.mapped_latents(path, LAYOUT.w_dim),
    "sentences": lambda path: stylet2i.read(path, path, LAYOUT),
    "generator of Lua Torch": read_generator,
    "text encoder of Lua Torch": read_encoder,
    "edges": edges.read,
    "simplification": simplification.read,
    "depth": midas.read,
    "statistics of images": reference_files.load,
}


class Call:
    """Pickled as a call that leaves a trace."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self.trace}",)


def saved(content: Any, *, new: bool = True) -> bytes:
    file = io.BytesIO()
    torch.save(content, file, _use_new_zipfile_serialization=new)
    return file.getvalue()


def archive(entries: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as opened:
        for name, content in entries.items():
            opened.writestr(name, content)
    return file.getvalue()


def arrays(call: Any, save: Any) -> bytes:
    file = io.BytesIO()
    save(file, np.array([call], object))
    return file.getvalue()


def safetensors(header: dict[str, Any], content: bytes, length: int | None = None) -> bytes:
    text = json.dumps(header).encode()
    return (len(text) if length is None else length).to_bytes(8, "little") + text + content


def hostile(trace: Path, folder: Path) -> dict[str, bytes]:
    """Files by name. Their suffixes are those of published ones, and decide nothing."""
    call = Call(trace)
    script = {"x/version": b"3\n", "x/constants.pkl": pickle.dumps((call,), 2), "x/code/__torch__/x.py": b"import os"}
    tensor = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
    lua = Thing("os.execute", {"command": f"touch {trace}"})
    files = {
        "protocol2.pkl": pickle.dumps(call, 2),
        "protocol4.pkl": pickle.dumps([call, [call]], 4),
        "torch.pt": saved({"state_dict": call, "g_ema": call, "model": call}),
        "legacy.pt": saved({"state_dict": call, "g_ema": call, "model": call}, new=False),
        "scripted.pt": archive({**script, "x/data.pkl": pickle.dumps({"visual": call}, 2)}),
        "objects.npy": arrays(call, np.save),
        "objects.npz": arrays(call, np.savez),
        "overlap.safetensors": safetensors({"a": tensor, "b": tensor}, b"\0" * 8),
        "beyond.safetensors": safetensors({"a": {**tensor, "data_offsets": [0, 2**40]}}, b"\0" * 8),
        "huge.safetensors": safetensors({"a": tensor}, b"\0" * 8, 2**60),
        "pickled.safetensors": safetensors({"a": {**tensor, "dtype": "O"}}, pickle.dumps(call)),
        "object.t7": write(folder / "x.t7", {"model": lua, "protos": {"enc_doc": lua}}).read_bytes(),
        "function.t7": (6).to_bytes(4, "little") + (1).to_bytes(4, "little") + b"\x01\0\0\0x",
        "web.pt": b"<!doctype html><script>",
    }
    return files


@pytest.mark.parametrize("reader", READERS)
def test_no_reader_runs_what_is_in_a_file(reader, tmp_path):
    trace = tmp_path / "trace"
    for name, content in hostile(trace, tmp_path).items():
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(UserError) as error:
            READERS[reader](path)
        said = str(error.value)
        assert said.startswith(str(path.with_suffix(""))), name  # or the card that our own format has beside it
        assert "\n" not in said, name
        assert len(said) < 600, name  # what the file is, and not all that there might be instead
        assert "clip-guide-avatars" not in said, name
        assert not trace.exists(), name


def test_the_files_would_leave_a_trace_if_they_were_run(tmp_path):
    trace = tmp_path / "trace"
    files = hostile(trace, tmp_path)
    loads: dict[str, Callable[[io.BytesIO], Any]] = {
        "protocol2.pkl": pickle.load,
        "torch.pt": lambda file: torch.load(file, weights_only=False),
        "objects.npy": lambda file: np.load(file, allow_pickle=True),
    }
    for name, load in loads.items():
        load(io.BytesIO(files[name]))
        assert trace.exists(), name
        trace.unlink()
