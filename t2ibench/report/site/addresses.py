"""The file names of the pages. Names of suites, tracks and methods come from outside, so each becomes a plain word."""

import hashlib
import re

PLAIN = re.compile(r"[a-z0-9][a-z0-9_-]{0,79}")


def slug(name: str) -> str:
    """A word of a-z, 0-9, "_" and "-" for a name.

    A name that is such a word stays as it is. Any other gets six digits of its hash, so that no two names have one
    word, on file systems without upper case too.
    """
    if PLAIN.fullmatch(name):
        return name
    word = re.sub(r"[^a-z0-9_-]+", "-", name.lower()).strip("-")[:60]
    return f"{word or 'x'}-{hashlib.sha256(name.encode('utf-8', 'surrogatepass')).hexdigest()[:6]}"


def stem(*names: str) -> str:
    """Names as one word of a file name: "birds.edit"."""
    return ".".join(map(slug, names))


def page(kind: str, *names: str) -> str:
    """The file of a page: "board.birds.edit.html"."""
    return f"{kind}.{stem(*names)}.html" if names else f"{kind}.html"
