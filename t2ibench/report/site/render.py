"""Templates into HTML, with the words that all of them share."""

import itertools
import operator
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from functools import cache
from typing import Any

import jinja2
from markupsafe import Markup, escape

from t2ibench.core import plugins, records
from t2ibench.core.version import __version__
from t2ibench.report import board as leaderboard
from t2ibench.report import formats, templates
from t2ibench.report.compare import figures, p_text
from t2ibench.report.site import addresses, protocols
from t2ibench.report.site.contents import BoardContents, Contents
from t2ibench.report.site.data import plain
from t2ibench.report.site.facts import parameters_text

TABS = (
    ("board", "Board"),
    ("charts", "Charts"),
    ("parts", "Parts"),
    ("samples", "Samples"),
    ("compare", "Compare"),
    ("made", "How it was made"),
)


def environment(contents: Contents) -> jinja2.Environment:
    """The templates, with what all of them need."""
    pages = templates.environment("report/site/templates")
    pages.finalize = plain
    pages.filters |= {
        "number": leaderboard.number,
        "rank": leaderboard.rank_text,
        "slug": addresses.slug,
        "parameters": parameters_text,
        "breakable": breakable,
        "groupby_in_order": groupby_in_order,
    }
    pages.globals |= {
        "site": contents,
        "tabs": TABS,
        "tab_kinds": [kind for kind, _ in TABS],
        "version": __version__,
        "page": addresses.page,
        "stem": addresses.stem,
        "anchor": protocols.anchor,
        "record_file": record_file,
        "canonical": records.canonical,
        "mark": formats.mark,
        "notes": formats.notes,
        "questions": lambda column: question_of(column.id, column.group),
        "figures": figures,
        "p_text": p_text,
        "saw": saw,
        "optimised": optimised,
    }
    return pages


def render(pages: jinja2.Environment, kind: str, one: BoardContents | None, **values: Any) -> bytes:
    """The HTML of one page.

    kind: the name of its template and of its tab.
    one: the board that it belongs to; None for a page of the whole site.
    """
    text = pages.get_template(f"{kind}.html.j2").render(kind=kind, one=one, **values)
    return text.encode("utf-8", "replace")


def loose_page(kind: str) -> bytes:
    """The HTML of a page that belongs to no records."""
    return render(environment(Contents(())), kind, None)


def breakable(text: str) -> Markup:
    """A name that may be broken behind each underscore."""
    return Markup("_<wbr>").join(escape(part) for part in plain(text).split("_"))


def groupby_in_order(entries: Sequence[Any], attribute: str) -> list[tuple[Any, list[Any]]]:
    """Neighbours of one value of an attribute, in their order (Jinja's `groupby` sorts them)."""
    return [(key, list(group)) for key, group in itertools.groupby(entries, operator.attrgetter(attribute))]


@cache
def question_of(value: str, metric: str) -> str:
    """The question that a value answers, in the words of its metric."""
    return next((text for ids, text in plugins.questions(metric).items() if fnmatchcase(value, ids)), "")


def record_file(record: Mapping[str, Any]) -> str:
    """The file of a record in the site."""
    names = (record["suite"], record["track"], record["method"], str(record["seed"]))
    return f"data/record.{addresses.stem(*names)}.json"


def saw(entry: Mapping[str, Any]) -> str:
    """What weights were trained on, in words."""
    data = entry.get("data")
    if isinstance(data, Mapping):
        return f"{data.get('dataset', '')} {data.get('train', '')}".strip() or "not stated"
    return str(data) if data else "not stated"


def optimised(entry: Mapping[str, Any]) -> str:
    """What weights were optimised for or with, in words."""
    value = entry.get("optimised_for")
    return (value if isinstance(value, str) else ", ".join(map(str, value))) if value else "—"
