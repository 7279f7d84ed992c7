"""YAML as data: no objects, no references that grow, and one line for everything that is wrong with it."""

from pathlib import Path
from typing import Any

import yaml

from t2ibench.core.errors import UserError
from t2ibench.core.files import NO_FILE, is_special

MOST = 100_000  # entries, after every alias was replaced by what it stands for


def parse(text: str, where: str) -> Any:
    """The content of a YAML text.

    where: the beginning of the error line.
    Raises UserError for what is no YAML, is nested too deeply, or holds aliases that grow without bound.
    """
    loader = yaml.SafeLoader(text) if (problem := _unreadable(text)) is None else None
    if loader is None:
        raise UserError(f"{where} is no YAML: {problem}")
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        if _size(node, {}) > MOST:
            raise UserError(f"{where}: its aliases stand for more than {MOST:,} entries: write it without them")
        return loader.construct_document(node)
    except RecursionError as error:
        raise UserError(f"{where} is nested too deeply, or holds itself: write it flat") from error
    except (yaml.YAMLError, ValueError, OverflowError, TypeError) as error:
        raise UserError(f"{where} is no YAML: {' '.join(str(error).split())[:300]}") from error
    finally:
        loader.dispose()


def read(path: Path) -> Any:
    """The content of a YAML file. Raises UserError, as `parse` does, and for a file that cannot be read."""
    if is_special(path):
        raise UserError(f"{path} is {NO_FILE}")
    try:
        text = path.read_text("utf-8-sig")
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is no YAML: byte {error.start} is no UTF-8: save it as UTF-8") from error
    return parse(text, str(path))


def _unreadable(text: str) -> str | None:
    """The first character that YAML does not allow, in words; None if there is none."""
    found = yaml.reader.Reader.NON_PRINTABLE.search(text)
    return None if found is None else f"character {found.start()} is {found.group()!r}, which YAML does not allow"


def _size(node: yaml.Node, sizes: dict[int, int]) -> int:
    """How many entries a node has with its aliases replaced. A node that holds itself ends in RecursionError."""
    if id(node) not in sizes:
        if isinstance(node, yaml.ScalarNode):
            return 1
        children = (
            [part for pair in node.value for part in pair] if isinstance(node, yaml.MappingNode) else list(node.value)
        )
        sizes[id(node)] = 1 + sum(_size(child, sizes) for child in children)
    return sizes[id(node)]
