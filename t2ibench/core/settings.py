"""Settings: a mapping of a YAML file, or `key=value` of the command line, becomes a frozen dataclass.

If a setting is wrong, the error is one line that says what is wrong.
"""

import dataclasses
import math
import types
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from t2ibench.core import plain_yaml
from t2ibench.core.errors import UserError, did_you_mean
from t2ibench.core.files import at_home, file_hash, in_weight_folders
from t2ibench.core.ranges import check_ranges

T = TypeVar("T")
# metadata of a setting that came when records with the others had been made: at its default it enters no identity
LATER = {"later": True}
NO_IDENTITY = {"identity": False}  # the mark of a setting that decides no number, such as a name
# how files that a setting can name end
FILES = (".pt", ".pth", ".ckpt", ".bin", ".safetensors", ".npz", ".npy", ".pkl", ".t7", ".json", ".yaml", ".txt")


def configure(cls: type[T], settings: Mapping[str, Any], where: str) -> T:
    """A frozen dataclass from a mapping of a YAML file. `where` is the beginning of an error line.

    Raises UserError for an unknown key (with the nearest known one), a missing one, a value of another type, or a
    number out of its range (`core.ranges`).
    """
    hints, fields = typing.get_type_hints(cls), {field.name: field for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    for key, value in settings.items():
        if key not in fields:
            raise UserError(f"{where}: unknown key {key!r}{did_you_mean(key, fields)}")
        if not _fits(value, hints[key]):
            expected = (
                str(getattr(hints[key], "__name__", hints[key])) if not typing.get_args(hints[key]) else str(hints[key])
            )
            raise UserError(f"{where}: {key} is {_short(value)}, expected {expected.replace('typing.', '')}")
        if not _finite(value):
            raise UserError(f"{where}: {key} is {_short(value)}, expected numbers that are finite")
    required = dataclasses.MISSING
    missing = [
        n for n, f in fields.items() if n not in settings and f.default is required and f.default_factory is required
    ]
    if missing:
        raise UserError(f"{where}: the key {missing[0]!r} is missing")
    made = cls(**{key: _coerce(value, hints[key]) for key, value in settings.items()})
    check_ranges(made, where)
    return made


def with_preset(presets: Mapping[str, Mapping[str, Any]], given: Mapping[str, Any], where: str) -> dict[str, Any]:
    """The settings that a user means: those of the preset that he names as `preset`, and above them his own.

    presets: the settings of each preset: "embedded", which suit the small networks and drawings that ship; "reference",
        those of the authors' released code; "paper", those of the paper where the two differ.
    where: the beginning of an error line. Raises UserError for a preset that there is not.
    """
    if "preset" not in given:
        return dict(given)
    if not isinstance(name := given["preset"], str) or name not in presets:
        known = " or ".join(map(repr, presets))
        raise UserError(f"{where}: preset is {name!r}, expected {known or 'none, since it has no presets'}")
    return {**presets[name], **{key: value for key, value in given.items() if key != "preset"}}


def configure_with_preset(
    cls: type[T],
    presets: Mapping[str, Mapping[str, Any]],
    fixed: Mapping[str, Any],
    given: Mapping[str, Any],
    where: str,
) -> T:
    """The settings of one part of a method, from four sources. Each source overrides those before it.

    They are the defaults of `cls`; the preset that `given` names, as in `with_preset`; `fixed`, the settings of the
    variant; and `given`, those of the user. `where` is the beginning of an error line. Raises UserError as `configure`
    does.
    """
    of_preset = with_preset(presets, {key: value for key, value in given.items() if key == "preset"}, where)
    own = {key: value for key, value in given.items() if key != "preset"}
    return configure(cls, {**of_preset, **fixed, **own}, where)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:200]}…"


def _finite(value: Any) -> bool:
    if isinstance(value, dict):
        return all(map(_finite, value.values()))
    if isinstance(value, list | tuple):
        return all(map(_finite, value))
    return not isinstance(value, float) or math.isfinite(value)


def _fits(value: Any, hint: Any) -> bool:
    """Whether a value of a YAML file can become a field of this type."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return any(_fits(value, argument) for argument in arguments)
    if origin is typing.Literal:
        return value in arguments
    if origin in (tuple, list):
        return isinstance(value, list | tuple) and all(_fits(item, arguments[0]) for item in value)
    if origin is dict or hint is dict:
        return isinstance(value, dict)
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if hint is Path:
        return isinstance(value, str | Path)
    return hint is Any or isinstance(value, hint)


def _coerce(value: Any, hint: Any) -> Any:
    """A value of a YAML file as the type of its field: tuples, floats and paths are converted.

    `~` becomes the user's home, and a file that lies in a folder of T2IBENCH_WEIGHTS gets that folder.
    """
    value = _placed(value)
    if typing.get_origin(hint) is tuple:
        return tuple(value)
    if hint is float:
        return float(value)
    if isinstance(value, str) and (hint is Path or Path in typing.get_args(hint)):
        return Path(value)
    return value


def _placed(value: Any) -> Any:
    if isinstance(value, str):
        place = at_home(value)
        return in_weight_folders(place) if Path(place).suffix in FILES else place
    if isinstance(value, Path):
        return value.expanduser()
    if isinstance(value, dict):
        return {key: _placed(item) for key, item in value.items()}
    return [_placed(item) for item in value] if isinstance(value, list | tuple) else value


def recorded(config: Any) -> dict[str, Any]:
    """The settings of a Config, as a record holds them and its identity counts them: JSON content without places.

    A path is left as "path", because what lies there has a hash of its own in the identity. A file in a text, such as
    `model:FILE`, is replaced by the hash of its content. So equal files are equal settings, wherever they lie. A
    setting that is marked `LATER` is left out at its default, so that records from before it stay what they are; one
    that is marked `NO_IDENTITY` is always left out.
    """
    later = {field.name: field.default for field in dataclasses.fields(config) if field.metadata.get("later")}
    names = {field.name for field in dataclasses.fields(config) if not field.metadata.get("identity", True)}
    values = {
        key: value
        for key, value in dataclasses.asdict(config).items()
        if key not in names and (key not in later or later[key] != value)
    }
    return {key: _placeless(value) for key, value in values.items()}


def _placeless(value: Any) -> Any:
    if isinstance(value, Path):
        return "path"
    if isinstance(value, Mapping):
        return {key: _placeless(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_placeless(item) for item in value]
    if isinstance(value, str) and ("/" in value or Path(value).suffix in FILES):
        kind, colon, place = value.rpartition(":")
        path = Path(place).expanduser()
        if path.is_file():
            return f"{kind}{colon}sha256 {file_hash(path)}"
        if path.is_dir():
            return f"{kind}{colon}path"
    return value


def settings_of(pairs: Sequence[str]) -> dict[str, Any]:
    """Settings given as `key=value`. The value is read as YAML: 0.5 is a number, [1, 2] a list, true a boolean.

    Nothing behind the sign is an empty text, as in `prior=`; `null` is no value.

    Raises UserError for anything that is not `key=value`.
    """
    settings = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise UserError(f"--set {pair!r}: expected key=value")
        settings[key] = plain_yaml.parse(value, f"--set {pair!r}: the value") if value else ""
    return settings
