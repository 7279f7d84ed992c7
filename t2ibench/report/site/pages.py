"""The pages of a board and of a method, each with its data."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2

from t2ibench.core import records
from t2ibench.report import formats
from t2ibench.report.board import Column
from t2ibench.report.breakdown import breakdowns
from t2ibench.report.outputs import curves_of, pair_figures
from t2ibench.report.plots import intervals
from t2ibench.report.site import addresses, charts, comparisons, methods, samples
from t2ibench.report.site.contents import BoardContents, Contents
from t2ibench.report.site.data import script
from t2ibench.report.site.facts import Facts
from t2ibench.report.site.render import question_of, record_file, render
from t2ibench.report.site.samples import Cell
from t2ibench.report.site.table import Table, table
from t2ibench.report.verdicts import WORST

File = tuple[str, bytes]  # its name in the folder of the site, and its content


def first_page(pages: jinja2.Environment, contents: Contents) -> File:
    """The page of all boards and all methods."""
    suites: dict[str, list[BoardContents]] = {}
    for one in contents.boards:
        suites.setdefault(one.board.suite, []).append(one)
    found = [(key, facts) for key, facts in contents.facts.items() if facts.kind == "method"]
    return "index.html", render(pages, "index", None, suites=list(suites.items()), methods=found, leaders=leaders)


def leaders(one: BoardContents) -> list[Column]:
    """The columns that stand for a board on the first page: its first three headline columns of different metrics."""
    of_metric: dict[str, Column] = {}
    for column in formats.columns_of(one.board, False):
        of_metric.setdefault(column.group, column)
    return list(of_metric.values())[:3]


def board_files(pages: jinja2.Environment, one: BoardContents) -> Iterator[File]:
    """The page of a board, and its values as a script, as CSV and as JSON."""
    stem = addresses.stem(*one.names)
    yield f"board.{stem}.html", render(pages, "board", one, table=board_table(one), **board_values(one))
    yield f"charts.{stem}.html", render(pages, "charts", one, **chart_values(one))
    yield f"parts.{stem}.html", render(pages, "parts", one, **part_values(one))
    yield f"made.{stem}.html", render(pages, "made", one, chips=chips(one), **made_values(one))
    values = formats.tidy(one.board)
    yield f"data/board.{stem}.js", script("board", fields=list(formats.FIELDS), values=values)
    yield f"data/{stem}.csv", formats.as_csv([one.board]).encode("utf-8", "replace")
    yield f"data/{stem}.json", (json.dumps(formats.as_json([one.board])[0], indent=1) + "\n").encode()


def board_table(one: BoardContents) -> Table:
    """The table of a board."""
    return table(one.board, one.facts, {row.method: one.standing(row.method) for row in one.board.rows})


def board_values(one: BoardContents) -> dict[str, Any]:
    """What the page of a board shows beside its table. protocol_ids: of each value, the most used first."""
    ids: dict[str, Counter[str]] = {}
    for row in one.board.rows:
        for id, cell in row.cells.items():
            ids.setdefault(id, Counter())[cell.protocol_id] += 1
    return {"chips": chips(one), "protocol_ids": {id: [p for p, _ in count.most_common()] for id, count in ids.items()}}


def chart_values(one: BoardContents) -> dict[str, Any]:
    """What the page of charts shows."""
    board, headline = one.board, formats.columns_of(one.board, False)
    drawn = [
        (column, label, charts.quality_against_cost(board, column, key, label))
        for key, label in charts.COSTS
        for column in headline
    ]
    return {
        "costs": [entry for entry in drawn if entry[2]],
        "ranks": charts.ranks(board, headline),
        "intervals": [(column, intervals(board, column)) for column in board.columns],
        "curves": curves_of(board, one.records),
    }


def part_values(one: BoardContents) -> dict[str, Any]:
    """What the page of parts shows: figures of the attribute pairs, and a table for each other metric with parts."""
    pairs = one.pairs
    tables = breakdowns(one.board, one.records)
    return {
        "pairs": pairs,
        "figures": pair_figures(one.board, pairs),
        "breakdowns": [table for table in tables if pairs is None or table.group != pairs.group],
    }


def made_values(one: BoardContents) -> dict[str, Any]:
    """What the page on how a board was made shows."""
    environments: list[tuple[Mapping[str, Any], list[str]]] = []
    for record in one.records:
        for known, names in environments:
            if known == record["environment"]:
                names.append(record["method"])
                break
        else:
            environments.append((record["environment"], [record["method"]]))
    return {
        "failures": [(record, failure) for record in one.records for failure in record["failures"]],
        "unscored": {
            f"{record['method']}: {name}": why for record in one.records for name, why in record["unscored"].items()
        },
        "judges": {name: entry for record in one.records for name, entry in record["judges"].items()},
        "environments": environments,
    }


def comparison_files(pages: jinja2.Environment, one: BoardContents) -> Iterator[File]:
    """The page that compares the rows of a board, and its data: a script for each row that others are compared with."""
    stem, names = addresses.stem(*one.names), comparisons.names_of(one.board)
    columns = formats.columns_of(one.board, False)
    headline, files = [column.id for column in columns], {}
    every: list[comparisons.Compared] = []
    for base, compared in comparisons.comparisons(one):
        files[base] = f"data/compare.{stem}.{addresses.slug(base)}.js"
        others = {entry.a: comparisons.as_data(entry, headline) for entry in compared}
        yield files[base], script("compare", base=base, others=others)
        every += [entry for entry in compared if names.index(entry.a) < names.index(base)]
    every.sort(key=lambda entry: (names.index(entry.a), names.index(entry.b)))
    content = {
        "methods": [
            {"name": row.method, "kind": row.kind, "file": files[row.method]}
            for row in one.board.rows
            if row.method in files
        ],
        "parts": comparisons.parts_data(one),
        "samples": addresses.page("samples", *one.names),
        "cells": [_cell(stem, cell) for cell in one.cells if not cell.why],
        "prompts": [prompts_file(stem, prompts) for prompts, _ in samples.sets_of(one.cells)],
        "block": samples.BLOCK,
        "questions": _questions(one),
    }
    yield f"data/comparison.{stem}.js", script("comparison", **content)
    left = len(one.board.rows) > len(names)
    yield f"compare.{stem}.html", render(pages, "compare", one, names=names, columns=columns, every=every, left=left)


def sample_files(pages: jinja2.Environment, one: BoardContents, folder: Path) -> Iterator[File]:
    """The page of a board's samples, and its data: a script for each cell, and one for the prompts that cells share.

    folder: where the site is written.
    """
    stem, shown = addresses.stem(*one.names), []
    for prompts, cells in samples.sets_of(one.cells):
        name = prompts_file(stem, prompts)
        yield name, samples.prompts_script(prompts, one.board.track)
        for cell in cells:
            originals = samples.original_address(cell, folder)
            yield cell_file(stem, cell), samples.cell_script(cell, prompts, originals)
            shown.append({**_cell(stem, cell), "label": cell.label, "seed": cell.record["seed"], "prompts": name})
    order = {cell.id: place for place, cell in enumerate(one.cells)}
    shown.sort(key=lambda entry: order[entry["cell"]])
    if shown:
        content = {"cells": shown, "block": samples.BLOCK, "questions": _questions(one)}
        yield f"data/samples.{stem}.js", script("samples", **content)
    galleries = []
    for gallery in one.galleries:
        rows = []
        for place, label in enumerate(gallery.rows):
            contents = [shown_prompt.images[place] for shown_prompt in gallery.prompts]
            images = [None if png is None else _drawn(png) for png in contents]
            yield from (image for image in images if image is not None)
            rows.append((label, [None if image is None else image[0] for image in images]))
        above = gallery.group in samples.above_of(gallery.track)
        texts = [shown_prompt.text for shown_prompt in gallery.prompts]
        galleries.append({"group": gallery.group, "texts": texts, "rows": rows, "above": above})
    sheets = []
    for sheet in one.sheets:
        name = f"images/sheets/{stem}/{addresses.stem(sheet.record['method'], str(sheet.record['seed']))}.webp"
        yield name, sheet.content
        sheets.append((name, sheet))
    drawn = {(sheet.record["method"], sheet.record["seed"]) for sheet in one.sheets}
    missing = [cell for cell in one.cells if cell.why and (cell.record["method"], cell.record["seed"]) not in drawn]
    whys = sorted({cell.why for cell in missing})
    values = {"shown": shown, "galleries": galleries, "sheets": sheets, "missing": missing, "why": "; ".join(whys)}
    yield f"samples.{stem}.html", render(pages, "samples", one, **values)


def strips(one: BoardContents, method: str) -> list[tuple[str, list[tuple[str, str]]]]:
    """The images of one method in the galleries of a board: for each group, texts with files of images."""
    found = []
    for gallery in one.galleries:
        if method in gallery.rows:
            place = gallery.rows.index(method)
            images = [(entry.text, png) for entry in gallery.prompts if (png := entry.images[place]) is not None]
            found.append((gallery.group, [(text, _gallery_file(png)) for text, png in images]))
    return found


def _gallery_file(png: bytes) -> str:
    """The file of an image of a gallery. Equal images are one file."""
    return f"images/gallery/{hashlib.sha256(png).hexdigest()[:20]}.webp"


def _drawn(png: bytes) -> File:
    return _gallery_file(png), samples.thumbnail(png)


def prompts_file(stem: str, prompts: samples.Prompts) -> str:
    return f"data/prompts.{stem}.{prompts.digest}.js"


def cell_file(stem: str, cell: Cell) -> str:
    return f"data/cell.{stem}.{addresses.stem(cell.record['method'], str(cell.record['seed']))}.js"


def _cell(stem: str, cell: Cell) -> dict[str, Any]:
    """Where the script of a page finds a cell."""
    thumbnails = samples.thumbnail_folder(stem, cell)
    return {"cell": cell.id, "method": cell.record["method"], "file": cell_file(stem, cell), "thumbnails": thumbnails}


def _questions(one: BoardContents) -> dict[str, str]:
    return {column.id: question_of(column.id, column.group) for column in one.board.columns}


def method_files(pages: jinja2.Environment, contents: Contents, suite: str, facts: Facts) -> Iterator[File]:
    """The page of a method, and its records."""
    minutes = {name: value for r in facts.records for name, value in r["cost"].get("training_minutes", {}).items()}
    boards = methods.on_boards(contents, suite, facts.method)
    html = render(
        pages,
        "method",
        None,
        strips={entry.one.board.track: strips(entry.one, facts.method) for entry in boards},
        suite=suite,
        facts=facts,
        boards=boards,
        settings=methods.settings_of(facts),
        claims=methods.claims_of(contents, facts),
        sizes=contents.sizes,
        minutes=minutes,
    )
    yield addresses.page("method", suite, facts.method), html
    for record in facts.records:
        yield record_file(record), (json.dumps(record, indent=1) + "\n").encode()


def chips(one: BoardContents) -> list[str]:
    """Short facts about the records of a board: the data, how many images, and the code that made them."""
    said = list(dict.fromkeys(str(record["dataset"]["name"]) for record in one.records if "name" in record["dataset"]))
    references = [record["dataset"].get("reference") for record in one.records]
    said += dict.fromkeys(f"{real['images']:,} reference images of “{real['split']}”" for real in references if real)
    asked: dict[str, int] = {}
    for record in one.records:
        totals: Counter[str] = Counter()
        for group, count in record["prompts"].get("images", {}).items():
            totals[group.partition("/")[0]] += count  # "adapted" of "adapted/sepia"
        asked |= {group: max(count, asked.get(group, 0)) for group, count in totals.items()}
    said += [f"{count:,} images for {group} a method" for group, count in asked.items()]
    seeds = sorted({record["seed"] for record in one.records})
    said.append(f"seed {seeds[0]}" if len(seeds) == 1 else f"{len(seeds)} seeds")
    said += sorted({f"t2ibench {record['code']['version']}" for record in one.records if "version" in record["code"]})
    states = Counter(one.standing(method).state for method in dict.fromkeys(record["method"] for record in one.records))
    return said + [
        state if len(states) == 1 else f"{states[state]} {state}" for state in reversed(WORST) if states[state]
    ]


def by_board(rows: Sequence[Mapping[str, Any]]) -> dict[tuple[str, str], list[str]]:
    """The methods of records, by (suite, track)."""
    return {key: list(dict.fromkeys(r["method"] for r in members)) for key, members in records.suites(rows).items()}
