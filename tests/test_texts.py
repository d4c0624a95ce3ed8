"""What people read is there in every language, and says what the code has to say."""

from __future__ import annotations

import re
from pathlib import Path
from string import Formatter

import pytest

from etl import edition, reports
from etl.errors import UsageError
from etl.lake import Lake
from etl.texts import LANGUAGES, catalogue, texts

ETL = Path(__file__).parents[1] / "etl"
SAID = {row["key"]: row for row in catalogue()}
# Their English stands in the file of the report itself.
IN_SQL = re.compile(r"report\.\w+\.(question|note)")


def places(text: str) -> set[str]:
    """The names of the values that a text has places for."""
    return {name for _, name, _, _ in Formatter().parse(text) if name}


def test_no_text_is_missing_in_any_language() -> None:
    assert len(SAID) == len(catalogue())
    missing = [
        (key, language)
        for key, row in SAID.items()
        for language in LANGUAGES
        if not row[language] and not (language == "en" and IN_SQL.fullmatch(key))
    ]
    assert missing == []


def test_a_text_has_the_same_places_for_values_in_every_language() -> None:
    assert [key for key, row in SAID.items() if row["en"] and places(row["en"]) != places(row["zh"])] == []


@pytest.mark.parametrize("report", reports.reports(), ids=lambda report: report.name)
def test_a_report_has_its_title_its_question_and_its_note(report: reports.Report) -> None:
    parts = [f"report.{report.name}", f"report.{report.name}.question"]
    parts += [f"report.{report.name}.note"] if report.note else []
    assert [part for part in parts if part not in SAID] == []
    assert report.note or f"report.{report.name}.note" not in SAID


def test_every_column_of_every_report_has_a_label(built_lake: Lake) -> None:
    issue = edition.of(built_lake, [], reports.Asked())
    names = {name for each in issue.sections if each.answer is not None for name in each.answer.column_names}
    bounded = {name for name in names if name[-4:] in ("_min", "_max") and f"column.{name[:-4]}" in SAID}
    assert {name for name in names - bounded if f"column.{name}" not in SAID} == set()


def test_a_text_that_is_said_is_there_and_one_that_is_there_is_said() -> None:
    code = "".join(path.read_text(encoding="utf-8") for path in sorted(ETL.glob("*.py")))
    direct = set(re.findall(r"""(?:said|texts)\(\s*["'](\w+)["']""", code))
    assert direct - set(SAID) - set(LANGUAGES) == set()
    built = re.compile(r"chapter_\w+|theme_\w+|column\..*|report\..*")
    unsaid = {key for key in SAID if not built.fullmatch(key) and not re.search(rf"""["']{key}["']""", code)}
    assert unsaid == set()


@pytest.mark.parametrize("chapter", [*edition.CHAPTERS, edition.OTHER])
def test_a_chapter_has_a_title(chapter: str) -> None:
    assert f"chapter_{chapter}" in SAID


def test_every_report_stands_in_one_chapter() -> None:
    placed = [name for names in edition.CHAPTERS.values() for name in names]
    assert sorted(placed) == [report.name for report in reports.reports()]


def test_what_the_catalogue_does_not_know_is_called_by_its_name() -> None:
    said = texts("zh")
    assert (said.title("my_own_report"), said.column("odd_column")) == ("My own report", "Odd column")
    assert said.column("billed_cost_max") == "计费金额（上限）"


def test_another_language_is_refused_with_those_there_are() -> None:
    with pytest.raises(UsageError, match="no language 'de': choose one of en, zh"):
        texts("de")
