"""What can be asked of a published file of weights: its hash, its reader, its images or features, a number printed.

Each check takes the file and the folder of all, and returns what it found, in words. It fails with an AssertionError.
"""

import hashlib
import warnings
from pathlib import Path

import numpy as np
import torch
from open_clip import SimpleTokenizer
from torch import Tensor

from t2ibench.checks.papers import claims
from t2ibench.methods.composer.decompose import edges, simplification
from t2ibench.methods.composer.decompose.depth import Monocular
from t2ibench.methods.composer.decompose.instances import MaskRCNN
from t2ibench.methods.gan_cls import published as reed
from t2ibench.methods.styleclip.mapper import step_cosine
from t2ibench.networks.arcface import ArcFace
from t2ibench.networks.clip import Clip
from t2ibench.networks.latent_mapper import read_released
from t2ibench.networks.published import known
from t2ibench.networks.stylegan2 import Generator, checkpoints, latents

PROMPTS = {  # of table 2 of StyleCLIP, by file
    "mohawk": "Mohawk",
    "afro": "Afro",
    "bobcut": "Bob-cut",
    "curly_hair": "Curly",
    "beyonce": "Beyonce",
    "taylor_swift": "Taylor Swift",
    "surprised": "Surprised",
    "purple_hair": "Purple hair",
}


def row(path: Path) -> list[str]:
    """The file, its hash, what was found, for a table to paste."""
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    wanted = known()[path.name].sha256
    assert sha256.startswith(wanted), f"{path}: sha256 {sha256}, published is {wanted}"
    hash_ = f"{sha256[:12]}… ({'as published' if wanted else 'none is published'})"
    return [path.name, hash_, checked(path)]


def checked(path: Path) -> str:
    kind = known()[path.name].what
    if kind.startswith("CLIP"):
        return clip(path)
    if kind.startswith("StyleGAN2"):
        return images(checkpoints.load(path))
    if kind.startswith("mapper"):
        return mapper(path)
    if kind.startswith("latents"):
        codes = latents.read(path, generator(path).config)
        assert torch.isfinite(codes).all()
        return f"{len(codes)} latents, standard deviation {codes.std():.3f}"
    if kind.startswith("table"):
        table = np.load(path)
        lengths = np.linalg.norm(table.astype(float), axis=1)
        assert np.allclose(lengths, 1, atol=1e-2)
        return f"{len(table)} channels of {table.shape[1]}, lengths {lengths.min():.4f} to {lengths.max():.4f}"
    if kind == "ArcFace":
        return embedded(ArcFace.from_file(path).eval())
    if kind.startswith("GAN"):
        network = reed.read_generator(path)
        random = torch.Generator().manual_seed(0)
        z, text = (torch.randn(4, n, generator=random) for n in (network.shape.nz, network.shape.text_dim))
        return spread(network(z, text))
    if kind.startswith("text encoder"):
        near, far = reed.read_encoder(path).embed(["this bird is red", "this bird is red and small"])
        return f"cosine of two texts {torch.cosine_similarity(near, far, dim=0):.4f}"
    pixels = torch.randint(0, 256, (1, 3, 128, 128), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    if kind.startswith("edges"):
        return mean_of(edges.read(path)(pixels / 127.5 - 1))
    if kind.startswith("simplification"):
        return mean_of(simplification.read(path)(pixels[:, :1] / 255))
    if kind.startswith("depth"):
        return mean_of(Monocular(path, torch.device("cpu"))(pixels))
    if kind.startswith("instances"):
        return f"{int(MaskRCNN(path, torch.device('cpu'))(pixels).sum()):,} pixels of noise belong to an instance"
    return f"{path.stat().st_size:,} bytes, read with the suite that names it"


def mean_of(answer: Tensor) -> str:
    assert torch.isfinite(answer).all()
    return f"answer to noise: mean {answer.mean():.4f}, standard deviation {answer.std():.4f}"


def clip(path: Path) -> str:
    """Our features beside those of the file's own code, which is run, since its hash is known here."""
    ours = Clip.from_file(str(path), torch.device("cpu"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = torch.jit.load(str(path), map_location="cpu").eval().float()
    side = int(theirs.input_resolution)
    pixels = torch.randint(0, 256, (1, 3, side, side), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    with torch.no_grad():
        tokens = SimpleTokenizer()(["a diagram"], context_length=ours.context_length)
        logits = theirs(ours.preprocess.normalise(pixels.float() / 255), tokens)[0]
    here = theirs.logit_scale.exp() * ours.encode_images(pixels) @ ours.encode_texts(["a diagram"]).T
    difference = (logits - here).abs().max().item()
    assert difference < 1e-2 * logits.abs().max().item()
    return f"the logit of an image and a text differs by {difference:.1e} from those of its own code"


def generator(beside: Path) -> Generator:
    return checkpoints.load(beside.with_name("stylegan2-ffhq-config-f.pt"))


@torch.no_grad()
def images(network: Generator) -> str:
    z = torch.randn(4, network.config.z_dim, generator=torch.Generator().manual_seed(0))
    w = network.mapping.w_avg.lerp(network.mapping(z), 0.7)
    return spread(network.synthesis(network.style(w[:, None].expand(-1, network.config.rows, -1))))


def spread(drawn: Tensor) -> str:
    """That images are finite, differ, and what colour they have on average: a figure that others can compare."""
    assert torch.isfinite(drawn).all()
    assert (drawn[0] - drawn[1]).abs().mean() > 1e-3
    colour = ", ".join(f"{value:+.4f}" for value in drawn.mean(dim=(0, 2, 3)).tolist())
    return f"{drawn.shape[2]}x{drawn.shape[3]} pixels, mean colour of seed 0 to 3: {colour}"


def mapper(path: Path) -> str:
    """The cosine of its steps on the published test faces, beside table 2 of the paper."""
    released = read_released(path, generator(path))
    codes = latents.read(path.with_name("test_faces.pt"), generator(path).config)
    with torch.no_grad():
        codes = generator(path).style(codes) if released.in_s else codes
        mean, deviation = step_cosine(torch.cat([released.network(code[None]) for code in codes]))
    printed = [number for number in claims.load("styleclip").reported if number.prompt == PROMPTS.get(path.stem)]
    paper = f"; the paper prints {printed[0].value} ± {printed[0].std}" if printed else ""
    return f"trained for {released.text!r}; cosine of steps {mean:.3f} ± {deviation:.3f}{paper}"


@torch.no_grad()
def embedded(network: ArcFace) -> str:
    faces = torch.rand(2, 3, 112, 112, generator=torch.Generator().manual_seed(0)) * 2 - 1
    one, two = network(faces)
    assert torch.isclose(one.norm(), torch.tensor(1.0))
    return f"cosine of two images of noise {one @ two:.4f}"
