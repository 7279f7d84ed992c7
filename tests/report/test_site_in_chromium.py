"""The web pages in a browser, from disk, with the network blocked: what is clicked, what is linked, what is kept."""

import csv
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from chromium import browser
from made_site import COUNT, NAMES, PAIRS, hue, made

from t2ibench.report.site.write import write

HOSTILE = NAMES[1]
BOARD = "board.s.text_to_image.html"


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with browser() as started:
        yield started


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    work = tmp_path_factory.mktemp("work")
    return write(made(work), work / "s" / "report").parent


@pytest.fixture
def visit(chromium: Any, site: Path) -> Iterator[Callable[..., Any]]:
    """Opens a page of the site: visit(name). In the end, no page may have said anything on the console."""
    said: list[str] = []
    contexts = []

    def call(name: str, **options: Any) -> Any:
        context = chromium.new_context(offline=True, accept_downloads=True, **options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(20_000)
        page.on("console", lambda message: said.append(f"{name}: {message.text}"))
        page.on("pageerror", lambda error: said.append(f"{name}: {error}"))
        page.on("dialog", lambda dialog: said.append(f"{name}: a dialog, {dialog.message}"))
        page.on("requestfailed", lambda request: said.append(f"{name}: no {request.url}"))
        file, hash_mark, state = name.partition("#")
        page.goto((site / file).as_uri() + hash_mark + state)
        return page

    yield call
    for context in contexts:
        context.close()
    assert said == []


def rows_of(page: Any) -> list[str]:
    return page.eval_on_selector_all("#leaderboard tbody tr", "rows => rows.map(row => row.dataset.method)")


def columns_of(page: Any) -> list[str]:
    return page.eval_on_selector_all("#leaderboard thead th[data-id]", "cells => cells.map(cell => cell.dataset.id)")


def click(page: Any, selector: str) -> None:
    page.locator(selector).first.click()


def downloaded(page: Any, selector: str) -> str:
    with page.expect_download() as waiting:
        click(page, selector)
    return Path(waiting.value.path()).read_text("utf-8")


def test_every_page_opens_quietly_light_and_dark_wide_and_narrow(visit, site):
    for path in sorted(site.glob("*.html")):
        page = visit(path.name, viewport={"width": 390, "height": 800}, color_scheme="dark")
        assert page.evaluate("() => document.documentElement.className") == "js dark"
        wider = page.evaluate("() => document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert wider <= 0, f"{path.name} is {wider} pixels wider than a telephone"
        click(page, "#theme")
        assert page.evaluate("() => document.documentElement.className") == "js light"


def test_a_board_sorts_with_the_better_direction_first_and_baselines_stay_apart(visit):
    page = visit(BOARD)
    assert rows_of(page)[-1] == "real"
    assert "paper" not in columns_of(page)  # not shown before it is chosen
    header = page.locator('th[data-id="near"] .dt-column-order')
    header.focus()
    page.keyboard.press("Enter")
    page.wait_for_selector('th[data-id="near"][aria-sort="descending"]')
    assert rows_of(page) == [NAMES[2], NAMES[1], NAMES[0], "real"]  # higher is better; the baseline is higher still
    page.keyboard.press("Enter")
    page.wait_for_selector('th[data-id="near"][aria-sort="ascending"]')
    assert rows_of(page) == [NAMES[0], NAMES[1], NAMES[2], "real"]
    click(page, 'th[data-id="fd_x"] .dt-column-order')
    page.wait_for_selector('th[data-id="fd_x"][aria-sort="ascending"]')


def test_the_head_and_the_names_of_a_board_stay_in_view(visit):
    page = visit(BOARD, viewport={"width": 420, "height": 220})
    scrolled = page.evaluate(
        "() => { const box = document.querySelector('.scroll'); box.scrollTop = box.scrollLeft = 9999;"
        " return [box.scrollTop, box.scrollLeft]; }"
    )
    assert min(scrolled) > 0  # it is the box that scrolls, not the page
    box, head, name = (
        page.locator(selector).first.bounding_box()
        for selector in (".scroll", "thead th.name", "tbody tr:last-child th.name")
    )
    assert abs(head["y"] - box["y"]) < 3
    assert abs(name["x"] - box["x"]) < 40  # behind the box that pins a row


def test_a_link_shows_what_its_sender_saw(visit):
    page = visit(BOARD)
    click(page, 'th[data-id="fd_x"] .dt-column-order')
    page.wait_for_selector('th[data-id="fd_x"][aria-sort]')
    click(page, "#columns summary")
    page.locator("#column-list").get_by_label("hue ↑").uncheck()
    page.locator("#column-list").get_by_label("trained on").check()
    click(page, "#filters summary")
    page.get_by_label("data 0").check()
    page.keyboard.press("Escape")
    page.check(f'tr[data-method="{NAMES[2]}"] .pick input')
    page.check("#dense")
    state = page.url.partition("#")[2]
    again = visit(f"{BOARD}#{state}")
    for opened in (page, again):
        assert rows_of(opened) == [NAMES[2], "plain"]  # the pinned one first; the other two saw other data
        assert "hue" not in columns_of(opened)
        assert "trained_on" in columns_of(opened)
        assert opened.eval_on_selector_all("tr.pinned", "rows => rows.map(r => r.dataset.method)") == [NAMES[2]]
        assert "dense" in opened.get_attribute("#leaderboard", "class")
    assert columns_of(again) == columns_of(page)
    assert again.url.partition("#")[2] == state
    again.evaluate("() => { location.hash = '#q=plain' }")
    again.wait_for_function("() => document.querySelectorAll('#leaderboard tbody tr').length === 1")
    assert rows_of(again) == ["plain"]
    assert "hue" in columns_of(again)
    click(again, "#reset")
    assert len(rows_of(again)) == 4
    assert "#" not in again.url


def test_exports_hold_exactly_what_is_shown_with_the_numbers_of_the_records(visit, tmp_path):
    contents = made(tmp_path, images=False)
    of = {record["method"]: record["values"] for record in contents.records}
    page = visit(f"{BOARD}#hide=near&sort=hue.desc&f.trained_on=data 0")
    rows = list(csv.DictReader(io.StringIO(downloaded(page, "#csv"))))
    shown = rows_of(page)
    assert set(shown) == {"plain", NAMES[2]}
    order = [name for name in shown for _ in range(2)]
    assert [row["method"].removeprefix("'") for row in rows] == order
    assert {row["metric"] for row in rows} == {"hue", "fd_x"}  # ca_rare is no headline column
    assert "'=cmd|x" in {row["method"] for row in rows}
    for row, name in zip(rows, order, strict=True):
        value = of[name][row["metric"]]
        assert [float(row["value"]), float(row["low"]), float(row["high"])] == [value["value"], *value["ci"]]
        assert row["protocol_id"] == value["protocol_id"]
    entries = json.loads(downloaded(page, "#json"))
    assert [(entry["method"], entry["metric"]) for entry in entries] == [
        (name, row["metric"]) for name, row in zip(order, rows, strict=True)
    ]


def test_without_javascript_the_full_table_is_there(visit):
    page = visit(BOARD, java_script_enabled=False)
    table = page.locator("#leaderboard")
    assert table.locator("tbody tr").count() == len(NAMES)
    for id in ("hue", "near", "fd_x", "ca_rare", "paper", "trained_on"):
        assert table.locator(f'th[data-id="{id}"]').is_visible()
    assert not page.locator("#tools").is_visible()
    compared = visit("compare.s.text_to_image.html", java_script_enabled=False)
    assert compared.locator("table.every tbody tr").count() == 6


def test_two_pinned_methods_are_compared_and_the_link_keeps_them(visit):
    page = visit(BOARD)
    for name in (NAMES[1], "plain"):
        page.check(f'tr[data-method="{name}"] .pick input')
    click(page, "#compare")
    page.wait_for_selector("#compared table.numbers")
    state = page.url.partition("#")[2]
    assert state
    again = visit(f"compare.s.text_to_image.html#{state}")
    again.wait_for_selector("#compared .side-by-side img")
    pressed = again.eval_on_selector_all("#choose [aria-pressed=true]", "all => all.map(b => b.dataset.method)")
    assert set(pressed) == {NAMES[1], "plain"}
    names = again.locator("#compared table.numbers tbody th").all_inner_texts()
    assert names == ["hue ↑", "near ↑", "fd_x ↓"]
    again.check("#all")
    again.wait_for_function("() => document.querySelectorAll('#compared table.numbers tbody tr').length === 4")
    rows = list(csv.DictReader(io.StringIO(downloaded(again, "#csv"))))
    assert [row["metric"] for row in rows] == ["hue", "near", "fd_x", "ca_rare"]
    click(again, '#choose [data-method="real"]')
    again.wait_for_function("() => document.querySelectorAll('#compared table.numbers thead th').length === 8")


def test_samples_are_filtered_by_what_was_said_of_two_cells_and_a_link_opens_one(visit):
    page = visit("samples.s.text_to_image.html")
    page.wait_for_function("() => document.getElementById('count').textContent !== ''")
    assert page.inner_text("#count") == f"{COUNT + 8} of {COUNT + 8} samples"
    page.select_option("#cell", "plain.0")
    page.select_option("#beside", f"{HOSTILE}.0")
    page.select_option("#value", "hue")
    page.select_option("#right-a", "right")
    page.select_option("#right-b", "wrong")
    wanted = [i for i in range(COUNT) if i != 3 and hue(0, i) == 1 and hue(1, i) == 0]
    page.wait_for_function(f"() => document.getElementById('count').textContent.startsWith('{len(wanted)} of')")
    page.locator(".tile").first.click()
    page.wait_for_selector("dialog[open] .strip figure:nth-child(4)")
    link = page.url
    assert f"s={wanted[0]:020x}" in link
    again = visit("samples.s.text_to_image.html#" + link.partition("#")[2])
    again.wait_for_selector("dialog[open] .strip figure:nth-child(4)")
    for opened in (page, again):
        assert f" {wanted[0]}" in opened.inner_text("dialog .prompt")
        assert opened.locator("dialog dd.right").count() == 1
        assert opened.locator("dialog img").count() == 1 + len(NAMES)
    again.keyboard.press("ArrowRight")
    again.wait_for_function(f"() => location.hash.includes('s={wanted[1]:020x}')")
    again.keyboard.press("Escape")
    again.wait_for_function("() => !location.hash.includes('s=')")


def test_samples_that_failed_are_shown_with_their_reason_and_pairs_can_be_chosen(visit):
    page = visit("samples.s.text_to_image.html#cell=plain.0&outcome=f")
    page.wait_for_selector(".tile .said.bad")
    assert page.inner_text("#count").startswith("1 of")
    page.focus("#grid")
    page.keyboard.press("Enter")
    page.wait_for_selector("dialog[open]")
    assert "ValueError: <b>" in page.inner_text("dialog .facts")
    page.keyboard.press("Escape")
    page.select_option("#outcome", "")
    page.select_option("#group", "pairs")
    page.select_option("#about", PAIRS[1])
    page.wait_for_function("() => document.getElementById('count').textContent.startsWith('4 of')")
    page.fill("#text", f"{COUNT + 5}")
    page.wait_for_function("() => document.getElementById('count').textContent.startsWith('1 of')")


def test_methods_are_picked_by_dragging_over_a_chart(visit):
    page = visit("charts.s.text_to_image.html")
    box = page.locator("svg.cost").first.bounding_box()
    page.mouse.move(box["x"] + 2, box["y"] + 2)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] - 2, box["y"] + box["height"] - 2)
    page.mouse.up()
    assert page.locator("#picked-compare").inner_text() == "Compare 3"  # baselines are not in the chart
    again = visit("charts.s.text_to_image.html#" + page.url.partition("#")[2])
    assert again.locator("#picked-names").inner_text() == page.locator("#picked-names").inner_text()


@pytest.mark.parametrize("name", [BOARD, "samples.s.text_to_image.html", "compare.s.text_to_image.html", "index.html"])
def test_axe_finds_nothing_serious(visit, name):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is missing")
    page = visit(name)
    page.wait_for_timeout(300)
    found = axe.Axe().run(page, options={"preload": False}).response["violations"]
    serious = [
        (entry["id"], entry["nodes"][0]["html"][:200], len(entry["nodes"]))
        for entry in found
        if entry["impact"] in ("serious", "critical")
    ]
    assert serious == []
