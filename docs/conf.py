"""How Sphinx makes a site of these pages: `sphinx-build -W --keep-going docs FOLDER`.

The boards of the committed records become web pages beside it, in FOLDER/boards.
"""

import re
from pathlib import Path
from typing import Any

from t2ibench.core.version import __version__

project, author, version = "t2ibench", "the authors of t2ibench", __version__
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx_copybutton"]
root_doc = "contents"
exclude_patterns = ["_build"]
html_theme, html_title = "furo", f"t2ibench {__version__}"
html_extra_path = ["llms.txt"]
html_show_search_summary = False  # over file:// the summaries cannot be fetched
html_copy_source = False
html_show_copyright = False
copybutton_prompt_text = "$ "
copybutton_only_copy_prompt_lines = True
myst_heading_anchors = 3
myst_links_external_new_tab = False
suppress_warnings = ["myst.header"]  # a page may begin below its first heading
nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_execution_timeout = 600
nb_output_stderr = "remove"  # warnings of other packages
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_member_order = "bysource"
NAMED = re.compile(r"^(\*{0,2}[\w.]+(?:, [\w.]+)*):\s+(\S.*)$")  # "value, low: the number, and where it may lie."


def plainly(app: Any, what: str, name: str, thing: Any, options: Any, lines: list[str]) -> None:
    """Our docstrings as reStructuredText: paragraphs, lists, and "name: what it is" with its further lines indented."""
    made: list[str] = []
    for line in lines:
        named = NAMED.match(line)
        if line.startswith("Returns ") or not line.strip() or not named:
            made.append(escaped(line))
        else:
            made += ["", f"**{escaped(named[1])}**: {escaped(named[2])}"]
    text = re.sub(r"\n {4,}(?=\S)", "\n", "\n".join(made)) if not any(line.startswith("- ") for line in lines) else ""
    lines[:] = (text or "\n".join(made)).split("\n")


def escaped(line: str) -> str:
    """A line in which nothing but a list is markup; what stands in backticks is code."""
    parts = line.split("`")
    if len(parts) % 2 == 0:
        return re.sub(r"([*_|`\\])", r"\\\1", line)
    return "".join(f"``{part}``" if i % 2 else re.sub(r"([*_|\\])", r"\\\1", part) for i, part in enumerate(parts))


def outside(app: Any, page: str, source: list[str]) -> None:
    """A link out of this folder becomes the name of the file: the site holds these pages alone."""
    source[0] = re.sub(r"(?<!!)\[([^\]\n]+)\]\(\.\./([^)\s]+)\)", r"\1 (`\2`)", source[0])
    source[0] = re.sub(r"\[([^\]\n]+)\]\(((?!http)[^)\s#]+\.(?:yml|txt))\)", r"\1 (`docs/\2`)", source[0])


def boards(app: Any, error: Exception | None) -> None:
    """The web pages of the committed records, which the first page links."""
    from t2ibench.cli.report import write_pages
    from t2ibench.report.site.contents import read

    results = Path(__file__).parent.parent / "results"
    if error is None and app.builder.format == "html":
        write_pages(*read([results]), [results], [results], Path(app.outdir) / "boards")


def setup(app: Any) -> None:
    app.connect("autodoc-process-docstring", plainly)
    app.connect("source-read", outside)
    app.connect("build-finished", boards)
