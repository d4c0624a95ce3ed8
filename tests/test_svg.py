"""A chart stands where its figures say, and holds nothing but shapes and escaped text."""

from __future__ import annotations

import re
from decimal import Decimal
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.hostile import TEXTS
from etl import svg
from etl.svg import Point

NUMBERS = st.none() | st.decimals(0, 10**12, places=2)
POINTS = st.lists(st.builds(Point, st.text(max_size=40), NUMBERS, NUMBERS, NUMBERS), min_size=1, max_size=40)


def shapes(chart: str, kind: str) -> list[dict[str, str]]:
    """The attributes of the shapes of a class."""
    return [
        each.attrib for each in ElementTree.fromstring(chart).iter() if kind in each.get("class", "").split()
    ]


def words(chart: str) -> list[str]:
    return [each.text or "" for each in ElementTree.fromstring(chart).iter("text")]


@pytest.mark.parametrize(
    ("most", "expected"),
    [
        (0, [0, 1]),
        (1, [0, 0.25, 0.5, 0.75, 1]),
        (7, [0, 2, 4, 6, 8]),
        (100, [0, 25, 50, 75, 100]),
        (54_498, [0, 20_000, 40_000, 60_000]),
    ],
)
def test_a_scale_has_round_numbers_from_zero_to_above_the_most(most: float, expected: list[float]) -> None:
    assert svg.ticks(most) == expected


def test_bars_are_as_long_as_their_values_and_a_line_goes_from_bound_to_bound() -> None:
    points = [Point("ann", Decimal(100), Decimal(50), Decimal(200)), Point("bo", Decimal(50))]
    chart = svg.bars(points, "who")
    ann, bo = (float(each["width"]) for each in shapes(chart, "bar"))
    assert ann == pytest.approx(2 * bo, abs=0.2)
    [whisker] = shapes(chart, "whisker")
    left, right = map(float, re.findall(r"^M([\d.]+) [\d.]+H([\d.]+)", whisker["d"])[0])
    start = float(shapes(chart, "bar")[0]["x"])
    assert [left - start, right - start] == pytest.approx([ann / 2, 2 * ann], abs=0.2)


def test_what_has_no_price_has_no_bar_and_says_so() -> None:
    chart = svg.bars([Point("ann", Decimal(1)), Point("bo", None)], "who", absent="unpriced")
    assert len(shapes(chart, "bar")) == 1
    assert "unpriced" in words(chart)


def test_a_line_breaks_where_a_figure_is_missing() -> None:
    values = [1, 2, None, 3, 4, None, 5]
    chart = svg.band([Point(f"2026-10-{place:02}", value) for place, value in enumerate(values, 1)], "days")
    assert len(shapes(chart, "line")) == 2
    assert len(shapes(chart, "dot")) == 5


def test_an_hour_without_a_figure_is_not_one_with_the_least() -> None:
    chart = svg.heat(["Mon"], ["00", "01", "02"], [[None, 1, 5]], "week")
    assert len(shapes(chart, "unknown")) == 1
    assert [each["fill-opacity"] for each in shapes(chart, "heat")] == ["0.100", "1.000"]


@given(POINTS)
def test_every_chart_is_well_formed_and_within_its_frame(points: list[Point]) -> None:
    rows = [(point.label, [point.low, point.value, point.high]) for point in points]
    labels = [point.label for point in points]
    for chart in (
        svg.bars(points, "caption"),
        svg.bars(points, "caption", outline=True),
        svg.band(points, "caption"),
        svg.lines(labels, [("one", [point.value for point in points])], "caption"),
        svg.ranges(rows, ["a", "b", "c"], "caption"),
        svg.heat(["row"], labels, [[point.value for point in points]], "caption"),
    ):
        root = ElementTree.fromstring(chart)
        width, height = float(root.attrib["width"]), float(root.attrib["height"])
        for each in root.iter("circle"):
            assert 0 <= float(each.attrib["cx"]) <= width
            assert -1 <= float(each.attrib["cy"]) <= height + 1
        for each in root.iter("rect"):
            assert float(each.attrib["x"]) + float(each.attrib["width"]) <= width + 1
        assert "nan" not in chart.lower().replace("caption", "") or "nan" in "".join(labels).lower()


@pytest.mark.parametrize("text", TEXTS)
def test_a_hostile_label_is_text(text: str) -> None:
    chart = svg.bars([Point(text, 1)], text) + svg.band([Point(text, 1), Point("b", 2)], text)
    root = ElementTree.fromstring(f"<x>{chart}</x>")
    assert {each.tag for each in root.iter()} <= {"x", "svg", "g", "title", "text", "rect", "path", "circle"}
    assert not any(name.startswith("on") for each in root.iter() for name in each.attrib)
