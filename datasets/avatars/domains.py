"""The domains of `avatars`: artists' styles (from dicebear-styles) and image filters, with captions that name them."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from scipy import ndimage

from t2ibench.core.seeds import derive_seed, uniform
from t2ibench.datasets.avatars.draw import STYLE

BACKGROUNDS = {
    "ffffff": "white",
    "a9d5f5": "light blue",
    "ffc2d1": "pink",
    "bfe8b5": "light green",
    "bba6e6": "purple",
    "8f969c": "grey",
}
OPTIONS: Mapping[str, dict] = {"personas": {}, "big-smile": {}}


def background(seed: int) -> list[str]:
    """The background colour of an image of another artist's style, as an option of the style."""
    return ["#" + [*BACKGROUNDS][int(uniform(derive_seed("background", seed), 1)[0] * len(BACKGROUNDS))]]


def pencil(images: np.ndarray) -> np.ndarray:
    """A pencil sketch: grey divided by its own blurred negative (colour dodge). uint8 [B, 3, H, W] in and out."""
    grey = _grey(images)
    blurred = ndimage.gaussian_filter(255 - grey, sigma=(0, 2, 2))
    return _rgb(np.clip(grey * 255 / np.maximum(255 - blurred, 1), 0, 255))


def sepia(images: np.ndarray) -> np.ndarray:
    """The brown tone of old photographs. uint8 [B, 3, H, W] in and out."""
    matrix = np.array([[0.393, 0.769, 0.189], [0.349, 0.686, 0.168], [0.272, 0.534, 0.131]])
    return np.clip(np.einsum("oc,bchw->bohw", matrix, images) + 0.5, 0, 255).astype(np.uint8)


def pixel_art(images: np.ndarray) -> np.ndarray:
    """An image of 32 x 32 blocks with six levels a channel. uint8 [B, 3, H, W] in and out, H and W multiples of 32."""
    count, channels, height, width = images.shape
    blocks = images.reshape(count, channels, 32, height // 32, 32, width // 32).mean((3, 5))
    levels = np.round(blocks / 51) * 51
    return levels.repeat(height // 32, 2).repeat(width // 32, 3).astype(np.uint8)


FILTERS: Mapping[str, Callable[[np.ndarray], np.ndarray]] = {"pencil": pencil, "sepia": sepia, "pixel-art": pixel_art}

# domain -> (drawing style, image filter or None, texts that name it)
DOMAINS: Mapping[str, tuple[str, str | None, tuple[str, ...]]] = {
    "avataaars": (STYLE, None, ("a face avatar", "a flat cartoon avatar of a face")),
    "pencil-sketch": (STYLE, "pencil", ("a pencil sketch of a face", "a pencil drawing of a person")),
    "sepia": (STYLE, "sepia", ("a sepia photo of a face", "a face in sepia tones")),
    "pixel-art": (STYLE, "pixel-art", ("pixel art of a face", "an 8-bit pixel face")),
    "personas": ("personas", None, ("a rounded clay style face", "a soft persona illustration of a face")),
    "micah": ("micah", None, ("a face with bold outlines by micah", "an abstract illustrated face with bold outlines")),
    "adventurer": ("adventurer", None, ("an anime adventurer face", "an adventurer character in comic style")),
    "big-smile": ("big-smile", None, ("a round cartoon face with a big smile", "a cute big smile character")),
    "open-peeps": ("open-peeps", None, ("a black and white hand drawn face", "a hand drawn ink portrait of a person")),
    "lorelei": ("lorelei", None, ("a line art face", "a minimalist line art portrait")),
    "notionists": (
        "notionists",
        None,
        ("a monochrome notion style doodle of a face", "a black and white doodle portrait"),
    ),
    "toon-head": ("toon-head", None, ("a toon head", "a comic toon style head")),
}


def captions(texts: tuple[str, ...], seed: int) -> tuple[str, ...]:
    """Five captions of one image of a domain, made of the texts that name it."""
    openings = ("", "", "this is ", "an image of ", "a picture of ")
    first = int(uniform(derive_seed("domain caption", seed), 1)[0] * len(texts))
    return tuple(opening + texts[(first + k) % len(texts)] for k, opening in enumerate(openings))


def background_captions(texts: tuple[str, ...], seed: int) -> tuple[str, ...]:
    """Captions of one image of an artist's style: the domain's texts, alone and with the colour of the background."""
    colour = BACKGROUNDS[background(seed)[0][1:]]
    return (*(f"{text} on a {colour} background" for text in texts), *captions(texts, seed))


def joined_captions(texts: tuple[str, ...], plain: Sequence[str], seed: int) -> tuple[str, ...]:
    """Captions of one filtered avatar: the domain's texts, alone and before each caption `plain` of the avatar."""
    joined = tuple(f"{texts[k % len(texts)]}, {text}" for k, text in enumerate(plain))
    return (*joined, *captions(texts, seed))


def _grey(images: np.ndarray) -> np.ndarray:
    return np.einsum("c,bchw->bhw", np.array([0.299, 0.587, 0.114]), images)


def _rgb(grey: np.ndarray) -> np.ndarray:
    return np.repeat((grey + 0.5).astype(np.uint8)[:, None], 3, 1)
