"""The web pages: complete without a script, safe for any text, and made of nothing but what the records say."""

import csv
import hashlib
import html.parser
import io
import json
import re
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
from made_records import SOUND, kept, record, value
from made_site import CAPTIONS, COUNT, NAMES, PAIRS, hue, made
from PIL import Image

from t2ibench.checks.submission import recompute, rounding
from t2ibench.core import records
from t2ibench.core.errors import UserError
from t2ibench.report import formats
from t2ibench.report.compare import Margins, compare
from t2ibench.report.gallery import cell_folder
from t2ibench.report.site import addresses, charts, comparisons, protocols, samples
from t2ibench.report.site.contents import Contents, read
from t2ibench.report.site.data import plain, script
from t2ibench.report.site.facts import Paper, parameters_text
from t2ibench.report.site.pages import board_table, chips
from t2ibench.report.site.table import LAST, bar
from t2ibench.report.site.write import write
from t2ibench.report.verdicts import Standing
from t2ibench.runner.journal import Store
from t2ibench.stats.paired import spell

VENDOR = resources.files("t2ibench.report.site") / "assets" / "vendor"
VOID = {"meta", "link", "img", "input", "br", "wbr"}


class Page(html.parser.HTMLParser):
    """What a page consists of: its elements with their attributes, its text, and its ids."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.words: list[str] = []
        self.open: list[str] = []
        self.feed(path.read_text("utf-8"))
        assert self.open == [], f"{path.name}: not closed: {self.open}"

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, {key: text or "" for key, text in attrs}))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, {key: text or "" for key, text in attrs}))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)

    @property
    def text(self) -> str:
        return "".join(self.words)

    @property
    def ids(self) -> set[str]:
        return {attributes["id"] for _, attributes in self.elements if "id" in attributes}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the site of `made_site`, in the work folder as a run writes it."""
    work = tmp_path_factory.mktemp("work")
    return write(made(work), work / "s" / "report").parent


def pushed(path: Path) -> dict:
    """What a data script hands to the pages."""
    text = path.read_text("ascii")
    assert text.startswith("T2I.push(")
    assert text.endswith(");\n")
    return json.loads(text[9:-3])


def test_libraries_of_others_are_the_pinned_ones_with_their_licence():
    pinned = json.loads((VENDOR / "vendor.json").read_text("utf-8"))
    for library in pinned:
        content = (VENDOR / library["file"]).read_bytes()
        assert hashlib.sha256(content).hexdigest() == library["sha256"]
        assert library["version"].encode() in content[:200]
    assert "The MIT License" in (VENDOR / "dataTables-LICENSE.txt").read_text("utf-8")
    names = {path.name for path in VENDOR.iterdir()}
    assert names == {*(library["file"] for library in pinned), "vendor.json", "dataTables-LICENSE.txt"}


def test_every_page_is_sound_runs_no_script_of_its_own_and_leads_nowhere_else(site):
    pages = {path.name: Page(path) for path in sorted(site.glob("*.html"))}
    assert len(pages) == 1 + 6 + len(NAMES) + 2
    for name, page in pages.items():
        policy = [a["content"] for tag, a in page.elements if a.get("http-equiv") == "Content-Security-Policy"]
        assert policy == [
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; base-uri 'none'; "
            "form-action 'none'"
        ], name
        for tag, attributes in page.elements:
            assert not [key for key in attributes if key.startswith("on") or key == "style"], (name, tag, attributes)
            assert tag not in ("style", "iframe", "object", "embed", "form"), name
            for key in ("href", "src"):
                if key not in attributes:
                    continue
                file, _, anchor = attributes[key].partition("#")
                target = (site / file) if file else site / name
                assert target.is_file(), (name, attributes[key])
                if anchor and "=" not in anchor:  # else a state for the script of that page
                    assert anchor in pages[target.name].ids, (name, attributes[key])
            if tag == "script":
                assert set(attributes) == {"src"}, name


def test_text_from_outside_stays_text_on_every_page(site):
    for path in sorted(site.glob("*.html")):
        page = Page(path)
        images = [a["src"] for tag, a in page.elements if tag == "img"]
        assert not [source for source in images if not source.startswith("images/")], path.name
        assert sum(tag == "script" for tag, _ in page.elements) == len(
            re.findall("<script src=", path.read_text("utf-8"))
        )
        assert "\x1b" not in path.read_text("utf-8"), path.name
    gallery = Page(site / "samples.s.text_to_image.html").text
    assert "<script>alert(1)</script> 0" in gallery
    assert '"><img src=x onerror=alert(2)>' in gallery
    assert "\ufffd[31mred\ufffd" in gallery
    assert "49" not in gallery.partition("{{ 7 * 7 }}")[0][-4:]
    for data in (site / "data").glob("*.js"):
        assert set(pushed(data)) > {"kind"}  # every script is one call, in ASCII


def test_the_table_of_a_board_holds_every_value_without_a_script(site, tmp_path):
    contents = made(tmp_path)
    page = Page(site / "board.s.text_to_image.html")
    [one] = contents.boards
    for row in one.board.rows:
        assert row.method in page.text
        for column in one.board.columns:
            assert formats.number(row.cells[column.id].value, column) in page.text
    cells = [a for tag, a in page.elements if tag == "td" and "data-order" in a]
    assert len(cells) == len(NAMES) * (1 + len(board_table(one).headings))
    with (site / "data" / "s.text_to_image.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 4 * 4
    for entry in rows:
        name = entry["method"].removeprefix("'") if entry["method"].startswith("'=") else entry["method"]
        [found] = [r for r in contents.records if r["method"] == name]
        assert float(entry["value"]) == found["values"][entry["metric"]]["value"]


def test_text_that_a_spreadsheet_would_run_gets_a_quote_and_numbers_do_not():
    found = [record(name, {"hue": value(-0.5)}, **SOUND) for name in ("=1+1", "@x", "-a", "+a", "\tx", "plain")]
    [board] = [one.board for one in Contents(found).boards]
    rows = list(csv.DictReader(io.StringIO(formats.as_csv([board]))))
    assert {row["method"] for row in rows} == {"'=1+1", "'@x", "'-a", "'+a", "'\tx", "plain"}
    assert {row["value"] for row in rows} == {"-0.5"}


def test_a_value_that_is_missing_stands_behind_all_others_and_a_hidden_one_is_not_shown():
    found = [
        record("a", {"hue": value(0.2), "far": value(3.0, better="lower")}, **SOUND),
        record("b", {"hue": value(0.4)}, judge_overlap={"hue": ["clip"]}, **SOUND),
    ]
    [one] = Contents(found).boards
    shown = board_table(one)
    place = {heading.id: i for i, heading in enumerate(shown.headings)}
    of = {line.method: line.cells for line in shown.lines}
    assert (of["b"][place["far"]].text, of["b"][place["far"]].order) == ("—", LAST)
    assert (of["b"][place["hue"]].text, of["b"][place["hue"]].order) == ("‡", -LAST)
    assert (of["a"][place["hue"]].text, of["a"][place["hue"]].order) == ("0.20", 0.2)


def test_a_row_is_as_well_verified_as_the_least_of_its_seeds_and_the_column_shows_where_any_is():
    found = [record("a", **SOUND), record("a", seed=1, **SOUND), record("b", **SOUND)]
    cells = [records.cell_of(row) for row in found]
    good, old = Standing("verified", "9 values"), Standing("stale", "changed")
    for standings, shown, said, chip in [
        ({}, False, {"a": "self-reported", "b": "self-reported"}, "self-reported"),
        ({cells[0]: good}, False, {"a": "self-reported", "b": "self-reported"}, "self-reported"),
        ({cells[0]: good, cells[1]: good}, True, {"a": "verified", "b": "self-reported"}, "1 self-reported"),
        ({cells[0]: good, cells[1]: old}, True, {"a": "stale", "b": "self-reported"}, "1 stale"),
    ]:
        [one] = Contents(found, standings=standings).boards
        made_table = board_table(one)
        [place] = [i for i, heading in enumerate(made_table.headings) if heading.id == "checked"]
        assert made_table.headings[place].shown == shown
        assert {line.method: line.cells[place].text for line in made_table.lines} == said
        assert chip in chips(one)


def test_a_bar_lies_where_its_interval_is_on_the_scale():
    [one] = Contents([record("a", {"hue": value(0.5, 0.1)}, **SOUND)]).boards
    cell = one.board.rows[0].cells["hue"]
    assert bar(cell, (0.0, 1.0)) == "M40.4 4H59.6M50 0V8"
    assert bar(cell, (0.4, 0.6)) == "M2 4H98M50 0V8"


@pytest.mark.parametrize("name", ["cub", "gan-int-cls", "text_to_image", "0"])
def test_a_plain_name_is_its_own_address(name):
    assert addresses.slug(name) == name


def test_no_two_names_have_one_address():
    names = ["CUB", "cub", "c u b", "c/u/b", "../cub", "", ".", "é", "e", "\ud800", "a" * 200, "a" * 201]
    slugs = [addresses.slug(name) for name in names]
    assert len(set(slugs)) == len(names)
    assert all(re.fullmatch(r"[a-z0-9_-]{1,80}", slug) for slug in slugs)


def test_data_is_one_line_of_ascii_and_refuses_nan():
    line = script("x", text="</script>\u2028é\ud800", number=1.5)
    assert line.count(b"\n") == 1
    assert json.loads(line[9:-3])["text"] == "</script>\u2028é\ud800"
    with pytest.raises(ValueError, match="JSON"):
        script("x", number=float("nan"))
    assert plain("a\x1bb\x00\ud800\n") == "a\ufffdb\ufffd\ufffd\n"


def test_pages_that_are_gone_are_removed_and_what_others_wrote_stays(tmp_path):
    folder = tmp_path / "pages"
    both = [record(name, {"hue": value()}, **SOUND) for name in ("a", "b")]
    write(Contents(both), folder)
    (folder / "mine.txt").write_text("keep")
    before = (folder / "history.html").stat().st_mtime_ns
    write(Contents(both), folder)
    assert (folder / "history.html").stat().st_mtime_ns == before  # nothing changed, so nothing is written
    write(Contents(both[:1]), folder)
    assert not (folder / "method.s.b.html").exists()
    assert (folder / "mine.txt").read_text() == "keep"
    assert not list(folder.rglob("*.part"))


def test_nothing_to_show_and_one_cell_in_two_folders_are_one_line(tmp_path):
    with pytest.raises(UserError, match="there is no record to show"):
        write(Contents(()), tmp_path)
    for name in "ab":
        records.write(record("m", **SOUND), records.path_of(tmp_path / name, "s", "text_to_image", "m", 0))
    with pytest.raises(UserError, match=r"b: holds a record of s/text_to_image/m/0, and so does .*a: give one"):
        read([tmp_path / "a", tmp_path / "b"])
    rows, audits = read([tmp_path / "a"], "s")
    assert (len(rows), audits) == (1, [])


def test_the_order_of_samples_is_proven_by_the_record_or_nothing_is_shown(tmp_path):
    contents = made(tmp_path)
    cells = samples.cells_of(contents.records, [tmp_path / "elsewhere", tmp_path])
    assert [cell.why for cell in cells] == [""] * 4
    path = cell_folder(tmp_path, contents.records[0]) / "journal.jsonl"
    lines = path.read_bytes().split(b"\n")[:-1]
    path.write_bytes(b"\n".join(reversed(lines)))  # the others tell the order
    again = samples.cells_of(contents.records, [tmp_path])[0]
    assert [outcome.sample for outcome in again.outcomes] == [outcome.sample for outcome in cells[0].outcomes]
    alone = samples.cells_of(contents.records[:1], [tmp_path])[0]
    assert (alone.why, alone.outcomes) == (samples.OTHERS, ())
    path.write_bytes(b"\n".join(lines[1:]))
    assert samples.cells_of(contents.records, [tmp_path])[0].why == samples.OTHERS
    assert samples.cells_of(contents.records, [])[0].why == samples.NO_IMAGES


def test_what_was_said_of_a_sample_stands_at_its_place(site):
    prompts = pushed(next((site / "data").glob("prompts.*.js")))
    cell = pushed(site / "data" / f"cell.s.text_to_image.{addresses.stem('plain', '0')}.js")
    scores = {score["id"]: score for score in cell["scores"]}
    assert scores["hue"]["rows"] == [[0, COUNT]]
    assert scores["hue"]["hits"] == "".join("-" if i == 3 else str(hue(0, i)) for i in range(COUNT))
    assert scores["near"]["numbers"][:5] == [0.0, 0.01, 0.02, None, 0.04]
    assert scores["ca_rare"]["rows"] == [[COUNT, 8]]
    assert scores["ca_rare"]["hits"] == "10010010"
    assert "fd_x" not in scores
    assert (cell["status"][:6], cell["kept"][:6]) == ("ooofbo", "111011")
    assert list(cell["messages"]) == ["3"]
    assert prompts["about"][prompts["subject"][prompts["prompt"][COUNT]]] == PAIRS[0]
    assert prompts["texts"][1] == CAPTIONS[1] + " 1"
    assert cell["originals"] == f"../text_to_image/plain/{cell_folder(Path(), made_record()).name}/images/"
    thumbnail = site / samples.thumbnail_folder("s.text_to_image", made_cell()) / "0" / "7.webp"
    with Image.open(thumbnail) as image:
        assert image.size == (8, 8)


def made_record():
    config = {"name": "painter", "config": {"strength": 0}, "weights": {}}
    return record("plain", config=config, **SOUND)


def made_cell() -> samples.Cell:
    return samples.Cell(made_record(), None, (), "")


def test_numbers_of_sources_and_of_corrected_pairs_are_told():
    table = {"x": {"hits": 1}, "y": {"hits": 2}}
    corrected = np.array([1.04, -0.02, 0.03, 1.04, 1.04, -0.02])
    np.testing.assert_array_equal(samples.hits_of_pairs(corrected, ["x", "y"], table), [1, 0, 0, 1, 1, 0])
    np.testing.assert_array_equal(samples.hits_of_pairs(corrected, ["x", "y"], {"x": {"hits": 1}}), corrected)
    assert samples.ranges([4, 5, 6, 9, 2, 3]) == [[4, 3], [9, 1], [2, 2]]


def test_thumbnails_are_small_and_made_once(tmp_path):
    big = np.zeros((3, 300, 200), np.uint8)
    store = Store(tmp_path / "cell")
    store.save("a", big)
    png = store.image_path("a").read_bytes()
    with Image.open(io.BytesIO(samples.thumbnail(png))) as image:
        assert image.size == (85, 128)
    contents = made(tmp_path / "work")
    [cell, *_] = samples.cells_of(contents.records, [tmp_path / "work"])
    samples.write_thumbnails(tmp_path / "t", cell)
    assert len(list((tmp_path / "t").rglob("*.webp"))) == COUNT + 8 - 1
    first = tmp_path / "t" / "0" / "0.webp"
    first.unlink()
    samples.write_thumbnails(tmp_path / "t", cell)  # of the same images: not looked at again
    assert not first.exists()
    path = cell.image(5)
    assert path is not None
    path.write_bytes(b"damaged")
    with pytest.raises(UserError, match=r"5\.png cannot be read"):
        samples.write_thumbnails(tmp_path / "other", cell)


def test_a_comparison_on_the_page_is_that_of_the_command(site, tmp_path):
    contents = made(tmp_path)
    data = pushed(site / "data" / f"compare.s.text_to_image.{addresses.slug('plain')}.js")["others"]["real"]
    wanted = compare([contents.records[3]], [contents.records[0]], Margins(), everything=True)
    assert [(line["metric"], line["difference"], line["p"], line["verdict"]) for line in data["lines"]] == [
        (line.metric, line.difference.value, line.p, line.verdict) for line in wanted.lines
    ]
    [(_, others), *_] = comparisons.comparisons(contents.boards[0])
    assert others[0].pairs == []  # ca_rare is no headline column here
    pairs = comparisons.pair_differences("ca_rare", [contents.records[1]], [contents.records[0]])
    assert [(entry.pair, entry.difference) for entry in pairs] == [(PAIRS[0], -0.25), (PAIRS[1], 0.0)]
    assert comparisons.pair_differences("hue", [contents.records[1]], [contents.records[0]]) == []


def test_a_long_board_compares_its_first_rows_and_says_so(tmp_path):
    found = [record(f"m{i:02}", {"hue": kept(np.arange(5) + i)}, **SOUND) for i in range(comparisons.MOST + 2)]
    write(Contents(found), tmp_path)
    text = Page(tmp_path / "compare.s.text_to_image.html").text
    assert f"Compared are the first {comparisons.MOST} rows" in text
    assert len(list((tmp_path / "data").glob("compare.*.js"))) == comparisons.MOST


def test_the_line_of_the_best_joins_those_that_no_other_beats_in_both():
    costs = {"a": (0.1, 0.3), "b": (1.0, 0.2), "c": (10.0, 0.9), "d": (0.2, 0.5), "e": (0.2, 0.4)}
    found = [
        record(name, {"hue": value(number, 0.01)}, **{**SOUND, "cost": {**SOUND["cost"], "seconds_per_image": cost}})
        for name, (cost, number) in costs.items()
    ]
    [one] = Contents(found).boards
    column = one.board.columns[0]
    points = [charts.Point(row, row.cells["hue"], row.cost["seconds_per_image"], 0, 0) for row in one.board.methods]
    assert [point.row.method for point in charts.frontier(points, "higher")] == ["a", "d", "c"]
    assert [point.row.method for point in charts.frontier(points, "lower")] == ["a", "b"]
    assert charts.frontier(points, "none") == []
    svg = charts.quality_against_cost(one.board, column, "seconds_per_image", "seconds")
    assert svg.count('class="point') == 5
    assert charts.quality_against_cost(one.board, column, "preparation_seconds", "x") == ""
    assert charts.powers(0.004, 0.19) == [0.001, 0.01, 0.1, 1.0]
    assert charts.powers(1, 1) == [1.0, 10.0]


def test_labels_of_a_chart_do_not_cover_one_another():
    found = [record(f"method-{i}", {"hue": value(0.5)}, **SOUND) for i in range(4)]
    [one] = Contents(found).boards
    points = [charts.Point(row, row.cells["hue"], 1.0, 300, 200) for row in one.board.methods]
    places = charts.labels(points)
    assert len({(x, y) for x, y, _ in places}) == 4


def test_every_rank_range_is_drawn_from_its_first_place_to_its_last(tmp_path):
    contents = made(tmp_path, images=False)
    [one] = contents.boards
    svg = charts.ranks(one.board, one.board.columns)
    for row in one.board.methods:
        assert f"fd_x: rank {row.cells['fd_x'].rank[0]}" in svg  # type: ignore[index]
    assert charts.ranks(one.board, []) == ""


def test_numbers_of_one_protocol_are_listed_together():
    found = [
        record("a", {"hue": value(protocol="p")}, **SOUND),
        record("b", {"hue": value(protocol="p")}, **SOUND),
        record("c", {"hue": value(protocol="q")}, **SOUND),
    ]
    first, second = protocols.protocols(found)
    assert first.content == [("k", "p")]
    assert first.boards == {("s", "text_to_image"): ["a", "b"]}
    assert second.boards == {("s", "text_to_image"): ["c"]}
    assert first.anchor != second.anchor


def test_the_history_is_by_version_newest_first():
    codes = [("0.2.0", "b", False), ("0.10.0", "a", True), ("0.2.0", "b", False)]
    found = [
        record(f"m{i}", **{**SOUND, "code": dict(zip(("version", "commit", "dirty"), code, strict=True))})
        for i, code in enumerate(codes)
    ]
    versions = protocols.history(found)
    assert [(one.version, len(one.records)) for one in versions] == [("0.10.0", 1), ("0.2.0", 2)]


def test_the_year_of_a_paper_is_that_of_its_venue():
    assert Paper(venue="ACM TOG 41(4), SIGGRAPH 2022", arxiv="2108.00946").year == "2022"
    assert Paper(arxiv="2108.00946").year == "2021"
    assert Paper().year == ""
    assert Paper(title="StyleCLIP: Text-Driven Manipulation").short == "StyleCLIP"
    assert [parameters_text(n) for n in (None, 12, 1632970, 2_130_000_000)] == ["—", "12", "1.63 M", "2.13 B"]


def test_values_are_recomputed_and_one_that_disagrees_is_named(tmp_path):
    contents = made(tmp_path, images=False)
    counted = recompute(contents.records)
    assert (counted.means, counted.rates, counted.left) == (3 * 4, 2 * 4, 4)
    values = {"hue": {**kept([0.25, 0.75, 0.5]), "value": 0.51}}
    with pytest.raises(UserError, match=r"s/text_to_image/a/0: hue is 0.51, but the samples .* have the mean 0.5:"):
        recompute([record("a", values)])
    entry = {"pair": "x", "n": 4, "hits": 3, "ca": 0.5, "ci": [0.1, 0.9]}
    values = {"hue": {**value(), "details": {"pairs": [entry]}}}
    with pytest.raises(UserError, match=r"hue: pairs\[x\]: ca is 0.5 in \[0.1, 0.9\], but 3 of 4 are 0.75"):
        recompute([record("a", values)])
    cut = {"hue": {**kept([-0.25, 0.0]), "value": 0.0, "ci": [0.0, 0.1]}}  # a rate that was cut at 0
    assert recompute([record("a", cut)]).means == 1


@pytest.mark.parametrize("digits", [3, 6])
def test_a_mean_may_be_off_by_the_digits_that_were_cut_and_no_more(digits):
    numbers = np.random.default_rng(0).lognormal(size=500)
    text = spell(numbers, digits)
    off = abs(np.mean([float(word) for word in text.split()]) - numbers.mean())
    assert off <= rounding(text) < 0.6 * 10.0 ** (2 - digits)
    assert rounding("10110-") == 0
    assert rounding("0.12345 -0.00001 1.00000 -") == pytest.approx(0.5e-5)
