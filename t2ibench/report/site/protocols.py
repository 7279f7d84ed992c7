"""Which numbers compare with one another, what decides them, and which code made them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from t2ibench.core.records import canonical
from t2ibench.report.site import addresses

Record = Mapping[str, Any]


@dataclass(frozen=True)
class Protocol:
    """The protocol of a value, and every number that was made under it. These numbers compare with one another.

    value, id: the id of the value and of the protocol.
    metric: the plug-in that makes it.
    content: what decides the number beside the images, as (key, text).
    intervals: how the intervals were made.
    numbers: (suite, track, method, seed) of each.
    """

    value: str
    id: str
    metric: str
    content: Sequence[tuple[str, str]]
    intervals: Sequence[str]
    numbers: Sequence[tuple[str, str, str, int]]

    @property
    def anchor(self) -> str:
        return anchor(self.value, self.id)

    @property
    def boards(self) -> dict[tuple[str, str], list[str]]:
        """The methods of each (suite, track)."""
        groups: dict[tuple[str, str], list[str]] = {}
        for suite, track, method, _ in self.numbers:
            methods = groups.setdefault((suite, track), [])
            if method not in methods:
                methods.append(method)
        return groups


@dataclass(frozen=True)
class Version:
    """Records that one version of the code made.

    version, commit, dirty: of the code; the commit is empty, and dirty None, where they are not known.
    records: the records.
    packages: the versions of other packages, each with all that occur among the records.
    """

    version: str
    commit: str
    dirty: bool | None
    records: Sequence[Record]
    packages: Mapping[str, Sequence[str]]


def anchor(value: str, id: str) -> str:
    """The place of a protocol on its page."""
    return f"{addresses.slug(value)}-{id}"


def protocols(records: Sequence[Record]) -> list[Protocol]:
    """Every protocol of the records, by the id of the value; of one value, the most used first."""
    groups: dict[tuple[str, str], list[tuple[Record, Mapping[str, Any]]]] = {}
    for record in records:
        for value_id, value in record["values"].items():
            groups.setdefault((value_id, value["protocol_id"]), []).append((record, value))
    found = [
        Protocol(
            value_id,
            protocol_id,
            members[0][1]["metric"],
            [(str(key), _text(content)) for key, content in members[0][1]["protocol"].items()],
            list(dict.fromkeys(value["interval"] for _, value in members)),
            [(record["suite"], record["track"], record["method"], record["seed"]) for record, _ in members],
        )
        for (value_id, protocol_id), members in groups.items()
    ]
    return sorted(found, key=lambda protocol: (protocol.value, -len(protocol.numbers), protocol.id))


def _text(content: Any) -> str:
    return content if isinstance(content, str) else canonical(content)


def history(records: Sequence[Record]) -> list[Version]:
    """The records by the code that made them: newest version first, then in the order of the records."""
    groups: dict[tuple[str, str, bool | None], list[Record]] = {}
    for record in records:
        code = record["code"]
        key = (str(code.get("version", "")), str(code.get("commit") or ""), code.get("dirty"))
        groups.setdefault(key, []).append(record)
    versions = [Version(*key, members, _packages(members)) for key, members in groups.items()]
    return sorted(versions, key=lambda one: _order(one.version), reverse=True)


def _order(version: str) -> list[tuple[int, str]]:
    """Versions in their order: numbers by size, words by letters."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in version.split(".")]


def _packages(members: Sequence[Record]) -> dict[str, list[str]]:
    seen: dict[str, dict[str, None]] = {}
    for record in members:
        environment = record["environment"]
        for name, version in {"python": environment.get("python", ""), **environment.get("packages", {})}.items():
            if version:
                seen.setdefault(name, {})[version] = None
    return {name: list(versions) for name, versions in seen.items()}
