"""The report in a real browser: it asks for nothing, runs nothing of the data, and can be used by anyone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import MANY, Opened, report

from bench.hostile import TEXTS
from etl.lake import Lake

Open = Callable[..., Opened]
KINDS = ("demo", "chinese", "empty", "one", "hostile", "many")


@pytest.fixture(params=KINDS)
def any_report(request: pytest.FixtureRequest) -> Path:
    """The report of each lake in turn."""
    found: Path = request.getfixturevalue(request.param)
    return found


def texts(opened: Opened, selector: str) -> list[str]:
    return opened.page.locator(selector).all_inner_texts()


def test_axe_finds_nothing_serious(any_report: Path, open_page: Open) -> None:
    # The fixture sees to it that nothing is asked for, said on the console or run from data.
    assert open_page(any_report).judged() == []


def test_axe_finds_nothing_serious_in_the_dark(demo: Path, open_page: Open) -> None:
    assert open_page(demo, color_scheme="dark").judged() == []


def test_a_report_opens_with_its_sections_and_without_a_sideways_scroll(
    any_report: Path, open_page: Open
) -> None:
    for width in (1400, 800, 390):
        opened = open_page(any_report, viewport={"width": width, "height": 900})
        assert opened.page.locator("section.report").count() > 30
        assert opened.page.evaluate("document.documentElement.scrollWidth") <= width


def test_every_link_leads_to_something_on_the_page(any_report: Path, open_page: Open) -> None:
    opened = open_page(any_report)
    broken = opened.page.evaluate(
        "[...document.links].map(a => a.getAttribute('href'))"
        ".filter(href => !href.startsWith('#') || !document.getElementById(href.slice(1)))"
    )
    assert broken == []


def test_the_policy_lets_nothing_run_that_is_put_into_the_page(demo: Path, open_page: Open) -> None:
    opened = open_page(demo)
    opened.page.evaluate(
        "document.body.insertAdjacentHTML('beforeend', '<img src=data:, onerror=\"window.harm = 1\">');"
        "const script = document.createElement('script'); script.textContent = 'window.harm = 2';"
        "document.body.append(script)"
    )
    opened.page.wait_for_timeout(200)
    assert opened.page.evaluate("window.harm") is None
    # It was tried, and the console says that it was refused.
    assert len(opened.errors) >= 2
    opened.errors.clear()
    opened.requests[1:] = []


def test_hostile_names_are_read_and_do_nothing(hostile: Path, open_page: Open) -> None:
    opened = open_page(hostile)
    assert opened.page.locator("main img, main script, main a[href^=http], main iframe").count() == 0
    shown = opened.page.locator("main").inner_text()
    assert "<script>alert(1)</script>" in shown
    assert r"\x1b]0;title\x07" in shown
    assert r"\u202eevisrever" in shown
    assert not any(letter in shown for letter in "\x1b\x9b\u202e\u2066")
    assert len(hostile.read_bytes()) < 3_000_000


def test_what_is_copied_is_no_formula(hostile: Path, open_page: Open) -> None:
    opened = open_page(hostile)
    opened.page.locator("#inventory_by_user .tools button").click()
    opened.page.wait_for_function("document.querySelector('#inventory_by_user [role=status]').textContent")
    copied = opened.page.evaluate("navigator.clipboard.readText()")
    cells = [cell for line in copied.split("\n") for cell in line.split("\t")]
    assert any(cell.startswith("'=HYPERLINK") for cell in cells)
    assert [cell for cell in cells if cell.startswith(("=", "+", "-", "@"))] == []
    assert len(copied.split("\n")) == len(TEXTS) + 1


def test_a_table_is_sorted_by_its_heads_with_the_keyboard(demo: Path, open_page: Open) -> None:
    opened = open_page(demo)
    head = opened.page.locator("#top_spenders thead th", has_text="Running hours")
    place = head.evaluate("cell => cell.cellIndex") + 1
    orders = []
    for _ in range(2):
        head.locator("button").press("Enter")
        column = texts(opened, f"#top_spenders tbody td:nth-child({place})")
        orders.append([float(cell.split()[0].replace(",", "")) for cell in column])
    assert head.get_attribute("aria-sort") == "ascending"
    assert orders[0] == sorted(orders[0], reverse=True)
    assert orders[1] == sorted(orders[1])
    assert len(orders[0]) > 5


def test_a_table_is_filtered_by_words(demo: Path, open_page: Open) -> None:
    opened = open_page(demo)
    rows = opened.page.locator("#top_spenders tbody tr:visible")
    every = rows.count()
    opened.page.locator("#top_spenders input").fill("ANN")
    shown = rows.all_inner_texts()
    assert 0 < len(shown) < every
    assert all("ann" in row.lower() for row in shown)
    assert texts(opened, "#top_spenders [role=status]") == [f"{len(shown)} of {every} rows"]


def ground(opened: Opened) -> Any:
    return opened.page.evaluate("getComputedStyle(document.body).backgroundColor")


def test_colours_follow_the_system_until_one_is_chosen(demo: Path, open_page: Open) -> None:
    light, dark = (open_page(demo, color_scheme=scheme) for scheme in ("light", "dark"))
    pale, deep = ground(light), ground(dark)
    assert pale != deep
    for opened, chosen, expected in ((light, "dark", deep), (dark, "light", pale)):
        opened.page.locator("#theme").select_option(chosen)
        assert ground(opened) == expected
        opened.page.locator("#theme").select_option("auto")
    assert (ground(light), ground(dark)) == (pale, deep)


def test_in_print_all_rows_are_there_and_nothing_to_press(demo: Path, open_page: Open) -> None:
    opened = open_page(demo, color_scheme="dark")
    opened.page.emulate_media(media="print")
    assert opened.page.locator("nav:visible, .tools:visible, .controls:visible").count() == 0
    cut = opened.page.evaluate(
        "[...document.querySelectorAll('.scroll')]"
        ".filter(each => each.scrollHeight > each.clientHeight + 2).length"
    )
    assert cut == 0
    assert opened.page.pdf().startswith(b"%PDF")


def test_it_can_be_read_without_script(demo: Path, open_page: Open) -> None:
    opened = open_page(demo, java_script_enabled=False)
    assert opened.page.locator("#top_spenders tbody tr").count() > 5
    assert opened.page.locator(".controls").is_hidden()


def test_it_is_read_in_chinese(chinese: Path, open_page: Open) -> None:
    opened = open_page(chinese)
    assert opened.page.evaluate("document.documentElement.lang") == "zh-Hans"
    assert texts(opened, "h1") == ["Notebook 实例费用与使用"]
    assert texts(opened, "#top_spenders h3") == ["费用最高的用户"]


def test_an_empty_lake_says_so_and_shows_no_cost(empty: Path, open_page: Open) -> None:
    opened = open_page(empty)
    assert "Nobody used anything in these days." in opened.page.locator("#glance").inner_text()
    assert opened.page.locator("main svg").count() == 2


def test_of_many_rows_the_first_are_shown_and_how_to_get_all(many: Path, open_page: Open) -> None:
    opened = open_page(many)
    assert opened.page.locator("#stopped_but_kept tbody tr").count() == 300
    told = opened.page.locator("#stopped_but_kept .more").inner_text()
    assert f"the first 300 of {MANY // 2:,} rows" in told
    assert "demeter report stopped_but_kept -o stopped_but_kept.csv" in told
    assert many.stat().st_size < 5_000_000


def test_a_report_by_itself_is_a_page(demo_lake: Lake, tmp_path: Path, open_page: Open) -> None:
    opened = open_page(report(demo_lake, tmp_path / "one.html", "usage", "--by", "user"))
    assert texts(opened, "h1") == ["By user"]
    assert opened.page.locator("section.report").count() == 1
    assert opened.judged() == []
