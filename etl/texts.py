"""The texts of what people read, in English and in Simplified Chinese: `etl/texts.csv`."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from etl.errors import UsageError

LANGUAGES = ("en", "zh")
TAGS = {"en": "en", "zh": "zh-Hans"}
ENDS = {"_min": "at_least", "_max": "at_most"}


@dataclass(frozen=True)
class Texts:
    """The texts in one language, by key."""

    language: str
    found: Mapping[str, str]

    def __call__(self, key: str, **values: object) -> str:
        """The text of a key with values in the places that it has for them."""
        return self.found[key].format(**values)

    def pattern(self, key: str) -> str:
        """The text of a key with the places for values as they are."""
        return self.found[key]

    def of_report(self, name: str, part: str, english: str) -> str:
        """The question or the note of a report, whose English stands in its own file."""
        return self.found.get(f"report.{name}.{part}") or english

    def title(self, name: str) -> str:
        """What a report is called; one that the catalogue does not know, by its name."""
        return self.found.get(f"report.{name}") or _spelled(name)

    def column(self, name: str) -> str:
        """What a column is called; a bound, by the column that it bounds."""
        if text := self.found.get(f"column.{name}"):
            return text
        if name[-4:] in ENDS:
            return self(ENDS[name[-4:]], label=self.column(name[:-4]))
        return _spelled(name)


@cache
def texts(language: str) -> Texts:
    """The texts in a language; UsageError where there are none."""
    if language not in LANGUAGES:
        raise UsageError(f"there is no language {language!r}: choose one of {', '.join(LANGUAGES)}")
    return Texts(language, {row["key"]: row[language] for row in catalogue()})


@cache
def catalogue() -> list[dict[str, str]]:
    """The rows of the catalogue: a key, and the text in each language."""
    with Path(__file__).with_name("texts.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _spelled(name: str) -> str:
    """The words that a name is made of."""
    words = name.replace("_", " ").strip()
    return words[:1].upper() + words[1:]
