"""The findings of a check as continuous integration reads them: JUnit XML, annotations of GitHub Actions, Markdown."""

import xml.etree.ElementTree as ET
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from t2ibench.core.plain_text import for_markdown

Status = Literal["pass", "fail", "open"]


@dataclass(frozen=True)
class Case:
    """One finding.

    group: the suite that it stands in. classname, name: of the case.
    status: "open" cannot be said; it is an error, and no pass.
    said: the result as text.
    """

    group: str
    classname: str
    name: str
    status: Status
    said: str


def junit(title: str, cases: Sequence[Case], note: str = "") -> bytes:
    """JUnit XML, with a suite a group. note: a line below each case that does not pass."""
    root = ET.Element("testsuites", name=title)
    for group in dict.fromkeys(case.group for case in cases):
        own = [case for case in cases if case.group == group]
        counts = {"failures": "fail", "errors": "open"}
        numbers = {key: str(sum(case.status == status for case in own)) for key, status in counts.items()}
        suite = ET.SubElement(root, "testsuite", {"name": group, "tests": str(len(own)), **numbers})
        for case in own:
            element = ET.SubElement(suite, "testcase", classname=case.classname, name=_plain(case.name))
            if case.status != "pass":
                kind = "failure" if case.status == "fail" else "error"
                ET.SubElement(element, kind, message=_plain(case.said)).text = _plain(f"{case.said}\n{note}".strip())
    ET.indent(root)
    return ET.tostring(root, encoding="utf-8", xml_declaration=True) + b"\n"


def annotations(title: str, cases: Iterable[Case], summary: str, fine: bool) -> Iterator[str]:
    """Workflow commands of GitHub Actions: an error for each failure, a warning for what is open, and the summary."""
    for case in cases:
        if case.status != "pass":
            level = "error" if case.status == "fail" else "warning"
            yield f"::{level} title={_property(f'{case.group} {case.name}')}::{_message(case.said)}"
    yield f"::{'notice' if fine else 'error'} title={_property(title)}::{_message(summary)}"


def markdown(title: str, cases: Sequence[Case], summary: str) -> str:
    """A summary of one page: the verdict, then every case that does not pass, at most 50 of them."""
    wrong = [case for case in cases if case.status != "pass"]
    lines = [f"# {title}", "", for_markdown(summary), ""]
    if wrong:
        lines += ["| | what | found |", "|---|---|---|"]
        lines += [f"| {case.status} | {for_markdown(case.name)} | {for_markdown(case.said)} |" for case in wrong[:50]]
    if len(wrong) > 50:
        lines += ["", f"{len(wrong) - 50:,} more."]
    return "\n".join(lines).rstrip() + "\n"


def _message(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _message(text).replace(":", "%3A").replace(",", "%2C")


def _plain(text: str) -> str:
    """Without the control characters that XML cannot hold."""
    return "".join(character for character in text if character in "\t\n" or ord(character) >= 32)
