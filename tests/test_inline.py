"""Results in a notebook: tables with their bounds, charts of one currency each, and nothing that runs."""

from __future__ import annotations

import re
from datetime import date
from decimal import Decimal
from pathlib import Path

import pyarrow as pa

import etl
from bench.hostile import TEXTS
from etl import document, inline
from etl.frames import Result
from etl.lake import Lake

DAYS = [date(2026, 10, 12), date(2026, 10, 13)]


def costs(currencies: list[str | None]) -> Result:
    """Two days of costs, in which each currency has a row a day: 1, 2, 3 and so on."""
    rows = [
        {"usage_date": day, "currency": currency, "billed_cost": Decimal(place + 1)}
        for place, (day, currency) in enumerate((day, each) for day in DAYS for each in currencies)
    ]
    return Result(pa.Table.from_pylist(rows))


def body(figure: inline.Figure) -> str:
    """What a figure is without its style."""
    return re.sub(r"<style>.*?</style>", "", figure._repr_html_(), flags=re.DOTALL)


def test_bounds_stand_below_the_figure_that_they_bound() -> None:
    row = {"name": "x", "hours_min": Decimal("1.005"), "hours": Decimal(2), "hours_max": Decimal(3)}
    shown = Result(pa.Table.from_pylist([row]))._repr_html_()
    assert re.findall(r"<th\b[^>]*>(.*?)</th>", shown) == ["name", "hours"]
    assert re.findall(r"<small>(.*?)</small>", shown) == ["1.00 – 3"]


def test_a_report_is_shown_as_on_its_page_with_its_question_and_its_days(built_lake: Lake) -> None:
    found = etl.open_lake(built_lake.path).report("usage", by="user", last=1)
    shown = found._repr_html_()
    assert "Who used how many hours, and at what cost?" in shown
    assert "2026-10-12 to 2026-10-12, both included" in shown
    assert "Billed cost (CNY)" in shown
    assert shown.count("<tr>") == len(found) + 1


def test_currencies_are_drawn_apart_and_never_added_up() -> None:
    both = body(costs(["CNY", "EUR"]).charts("usage_by_day"))
    captions = re.findall(r"<figcaption>(.*?)</figcaption>", both)
    assert [caption[-5:] for caption in captions] == ["(CNY)", "(EUR)"]
    assert re.findall(r"2026-10-1\d: ([\d.,]+)", both) == ["1", "3", "2", "4"]
    assert body(costs(["CNY"]).charts("usage_by_day")).count("<figure>") == 1


def test_what_has_no_currency_is_drawn_by_itself_beside_several() -> None:
    drawn = body(costs(["EUR", None, "CNY"]).charts("usage_by_day"))
    assert re.findall(r"2026-10-12: ([\d.,]+)", drawn) == ["3", "1", "2"]


def test_a_report_without_charts_has_none(small_lake: Lake) -> None:
    assert etl.open_lake(small_lake.path).report("unknown_fields").charts().html == ""


def test_names_that_want_to_do_harm_are_text() -> None:
    shown = Result(pa.table({"name": list(TEXTS)}))._repr_html_()
    drawn = Result(
        pa.table({"user_name": list(TEXTS), "billed_cost": [Decimal(1)] * len(TEXTS)}), "usage_by_user"
    ).charts()
    for html in (shown, body(drawn)):
        assert re.findall(r"<(?:script|img|iframe|a|link|object)\b", html) == []
        assert re.findall(r"<[^>]*\son\w+=", html) == []
    assert "&lt;script&gt;" in shown


def test_of_many_rows_the_first_are_shown_and_how_to_get_all() -> None:
    shown = Result(pa.table({"n": list(range(1000))}))._repr_html_()
    assert shown.count("<tr>") == inline.MOST_ROWS + 1
    assert "the first 200 of 1,000 rows: .df() has all of them" in shown


def test_the_style_is_that_of_the_page_and_reaches_nothing_else() -> None:
    style = document.style_within(inline.FRAME, inline.DARK)
    assert (Path(document.__file__).with_name("figures.css")).read_text() in style
    outside = re.sub(r"\{(?:[^{}]|\{[^{}]*\})*\}", "", style)
    assert outside.split() == f".{inline.FRAME} :is({inline.DARK}) .{inline.FRAME}".split()
    assert {"--accent", "--ink"} <= set(re.findall(r"(--\w+):", style))
    assert "url(" not in style
    assert "@import" not in style
