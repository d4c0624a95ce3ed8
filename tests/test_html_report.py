"""The HTML report says what it knows, as the other formats have it, and holds nothing that could do harm."""

from __future__ import annotations

import base64
import hashlib
import re
from decimal import Decimal
from html.parser import HTMLParser
from pathlib import Path
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest
from click.testing import CliRunner, Result
from lakes import MIDNIGHT, lives
from support import environment_for

from bench.hostile import TEXTS
from etl import document, edition, layout, markup, overview
from etl.cli import main
from etl.emulator import Clock, Emulator
from etl.emulator.rows import Documents
from etl.lake import Lake
from etl.reports import Asked
from etl.texts import texts

pytestmark = pytest.mark.long

EN = texts("en")
UTC = ZoneInfo("UTC")
DAY = Asked(since="2026-10-12", until="2026-10-13")


class Page(HTMLParser):
    """What a page is made of: its tags with their attributes, and its text by section."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: dict[str, str] = {}
        self.section = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "section":
            self.section = dict(attrs).get("id") or ""

    def handle_data(self, data: str) -> None:
        self.words[self.section] = self.words.get(self.section, "") + data + " "


def page_of(lake: Lake, asked: Asked = DAY, names: tuple[str, ...] = (), language: str = "en") -> str:
    return b"".join(layout.html(edition.of(lake, names, asked), language)).decode()


@pytest.fixture(scope="module")
def whole(built_lake: Lake) -> str:
    """The page of all reports."""
    return page_of(built_lake)


def demeter(*arguments: str, lake: Lake) -> Result:
    return CliRunner().invoke(main, ["--lake", str(lake.path), *arguments])


def test_the_first_screen_has_the_total_with_what_is_not_in_it(whole: str) -> None:
    told = Page(whole).words["glance"]
    # 442.27 is what the summary has, and 720 the pools.
    for expected in ("1,162.27", "720.00 CNY of it for dedicated pools", "96.0 hours (41.1 %) have no price"):
        assert expected in told


def test_the_first_screen_says_how_many_of_its_days_were_metered(built_lake: Lake, whole: str) -> None:
    told = Page(page_of(built_lake, Asked(since="2026-10"))).words["glance"]
    assert "1.1 of 31 days were metered: what ran on the others is in no figure" in told
    assert "Only 1.1 of its first 12.0 days were metered, and only they are in these figures" in told
    assert "were metered: " not in Page(whole).words["glance"]


def test_what_could_be_stopped_counts_an_instance_once_and_says_what_is_not_known(built_lake: Lake) -> None:
    facts = edition.of(built_lake, [], DAY).facts
    assert facts is not None
    found = {waste.kind: (waste.count, waste.cost, waste.unknown_count) for waste in overview.wastes(facts)}
    # Longer than 24 hours ran 2, 4, 8 and 9 of the first project; 4 and 8 have a price: 1.2 and 8 an hour.
    assert found["waste_forgotten"] == (4, Decimal("6624.0"), 2)
    # Of the other project, the same run for 24 hours, and 6 in both: nothing stops any of them.
    assert found["waste_without_auto_stop"] == (10, 2 * Decimal("6624.0"), 4)
    # 5 GB at 0.0014 an hour for 30 days, in each project.
    assert found["waste_disks"] == (2, 2 * Decimal("5.04"), 0)
    assert found["all"] == (12, 2 * Decimal("6629.04"), 4)


def test_what_has_no_price_is_called_unpriced_and_never_zero(whole: str) -> None:
    rows = re.findall(r'<section class="report" id="usage_by_sku">.*?</section>', whole, re.DOTALL)[0]
    odd = next(row for row in re.findall(r"<tr>.*?</tr>", rows) if "odd.1" in row)
    assert '<td class="n null">unpriced</td>' in odd
    assert '<td class="n">0.00</td>' not in odd.partition("unpriced")[2][:40]


def test_figures_are_those_of_the_other_formats_with_their_bounds(built_lake: Lake) -> None:
    page = Page(page_of(built_lake, names=("summary",))).words["summary"]
    shown = demeter("report", "summary", "--from", "2026-10-12", "--to", "2026-10-13", lake=built_lake).stdout
    for line in shown.splitlines()[2:]:
        for figure in re.findall(r"\d+\.\d\d\b", line):
            assert f"{Decimal(figure):,}" in page


def test_every_report_has_a_section_and_a_link_to_it(whole: str, built_lake: Lake) -> None:
    page = Page(whole)
    ids = {attributes["id"] for _, attributes in page.tags if attributes.get("id")}
    links = {str(attributes["href"]) for tag, attributes in page.tags if tag == "a"}
    names = [section.report.name for section in edition.of(built_lake, [], DAY).sections]
    assert {f"#{name}" for name in names} <= links
    assert {link.removeprefix("#") for link in links} <= ids


def test_only_the_page_s_own_style_and_script_are_allowed(whole: str) -> None:
    policy = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', whole)[0]
    for tag, directive in (("style", "style-src"), ("script", "script-src")):
        [text] = re.findall(rf"<{tag}>(.*?)</{tag}>", whole, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert (
            f"{directive} &#x27;sha256-{digest}&#x27;" in policy or f"{directive} 'sha256-{digest}'" in policy
        )
    assert "default-src 'none'" in policy
    assert whole.index("Content-Security-Policy") < whole.index("<style>")


def test_a_page_asks_for_nothing(whole: str) -> None:
    asking = [
        (tag, name, value)
        for tag, attributes in Page(whole).tags
        for name, value in attributes.items()
        if (name in ("src", "srcset", "action", "data") or (name == "href" and tag != "a")) and value
        if not value.startswith("data:image/svg+xml")
    ]
    assert asking == []
    assert "url(" not in whole
    assert "@import" not in whole


@pytest.mark.parametrize("text", TEXTS)
def test_a_hostile_text_is_shown_and_is_no_markup(text: str) -> None:
    table = pa.table({"name": [text, "b"], "instance_id": [text, "c"], text[:30]: [text, "d"]})
    for shown in (
        markup.table(table, EN, UTC, name=text[:30], title=text[:30], most=10),
        b"".join(document.of_result(table, UTC)).decode().partition("<main")[2].partition("</main>")[0],
    ):
        page = Page(shown)
        assert {tag for tag, _ in page.tags} <= {
            "div",
            "table",
            "thead",
            "tbody",
            "tr",
            "th",
            "td",
            "section",
            "h2",
        }
        names = {name for _, attributes in page.tags for name in attributes}
        assert names <= {"class", "role", "tabindex", "aria-label", "data-name", "data-title", "scope", "id"}
        assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", shown)
        assert len(shown) < 25_000


def test_bounds_stand_below_their_figure_where_they_are_apart() -> None:
    table = pa.table({"day": ["a", "b"], "hours_min": [1, 2], "hours": [2, 2], "hours_max": [3, 2]})
    shown = markup.table(table, EN, UTC, name="t", title="t", most=10)
    assert '<td class="n">2<small>1 – 3</small></td>' in shown
    assert shown.count("<small>") == 1
    assert 'data-low="Hours, at least" data-high="Hours, at most"' in shown


def test_of_more_rows_than_are_shown_the_number_is_told(
    built_lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(layout, "MOST_ROWS", 1)
    words = Page(page_of(built_lake, names=("usage_by_user", "usage_by_sku"))).words["usage_by_user"]
    assert "the first 1 of 6 rows" in words
    assert "demeter report usage_by_user -o usage_by_user.csv" in words


def test_a_lake_that_is_not_built_says_what_to_do_and_shows_what_there_is(small_lake: Lake) -> None:
    page = Page(page_of(small_lake, Asked()))
    assert "run demeter build" in re.sub(r"\s+", " ", page.words["top_spenders"])
    assert "RUNNING" in page.words["inventory_by_status"]


def test_a_chinese_page_has_its_texts_and_the_same_figures(built_lake: Lake) -> None:
    page = page_of(built_lake, language="zh")
    assert '<html lang="zh-Hans">' in page
    told = Page(page).words["glance"]
    assert "花费多少" in told
    assert "1,162.27" in told


def test_a_report_is_written_by_the_name_of_its_file(built_lake: Lake, tmp_path: Path) -> None:
    for name, starts in (("all.html", b"<!DOCTYPE html>"), ("all.xlsx", b"PK")):
        result = demeter("report", "-o", str(tmp_path / name), lake=built_lake)
        assert (result.exit_code, result.stdout) == (0, "")
        assert (tmp_path / name).read_bytes().startswith(starts)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["summary", "--lang", "zh"], "--lang is for html and xlsx"),
        (["--format", "html", "--lang", "de"], "there is no language 'de'"),
        (["--format", "html", "--by", "user"], "--by belongs to a report"),
        (["--format", "html", "--from", "2027-01"], "nothing was metered in 2027-01-01"),
        (["queue_now", "--format", "html", "--from", "2026-10"], "the report queue_now takes no --from"),
        (["--from", "2026-10"], "no report is named"),
    ],
)
def test_what_cannot_be_shown_is_refused_in_a_line(arguments: list[str], said: str, built_lake: Lake) -> None:
    result = demeter("report", *arguments, lake=built_lake)
    assert result.exit_code == 2
    assert said in result.stderr
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize(("format", "names"), [("html", "all"), ("xlsx", "summary, usage_by_user")])
def test_a_run_writes_the_chosen_reports_into_one_file(format: str, names: str, tmp_path: Path) -> None:
    settings = {
        "DEMETER_REPORTS": names,
        "DEMETER_REPORTS_FORMAT": format,
        "DEMETER_REPORTS_LANG": "zh",
        "DEMETER_REPORTS_DIRECTORY": str(tmp_path / "reports"),
    }
    with Emulator(clock=Clock.at(MIDNIGHT), fleet=Documents(lives(0))) as service:
        environment = environment_for(service, tmp_path / "lake", **settings)
        results = []
        for _ in range(2):
            results.append(CliRunner().invoke(main, ["run"], env=environment))
            service.clock.advance(hours=1)
    assert [result.exit_code for result in results] == [0, 0]
    assert [path.name for path in (tmp_path / "reports").iterdir()] == [f"report.{format}"]
    assert results[1].stdout.splitlines()[-1] == f"wrote {tmp_path / 'reports' / f'report.{format}'}"


def test_no_more_sweeps_are_told_than_were_expected(tmp_path: Path) -> None:
    told = demeter("demo", "--days", "1", "--every", "180", "--instances", "5", lake=Lake(tmp_path / "lake"))
    assert told.exit_code == 0, told.output
    page = (tmp_path / "lake/report.html").read_text(encoding="utf-8")
    [(complete, expected)] = re.findall(r"(\d+) of (\d+) expected sweeps were complete", page)
    assert int(complete) <= int(expected)
