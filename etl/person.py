"""Who is to be forgotten: all that a lake knows to be theirs, and how it is taken out of a text."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import duckdb

from etl import views
from etl.correspondence import fields
from etl.dictionary import kept
from etl.errors import UsageError
from etl.lake import Lake
from etl.pseudonyms import FORGOTTEN, change_persons, pseudonym
from etl.settings import Settings

SHORTEST = 3  # letters of a name that is looked for in every text
# Columns of a fixed vocabulary: a name that is a word of it is only a name where persons stand.
VOCABULARY = {
    "instance_history": ("status", "flavor", "error_code"),
    "profile_history": ("de_type", "flavor_type"),
    "provision_history": ("type", "engine", "image_name", "image_tag"),
    "flavor_history": ("type", "sale_status", "accelerator_kind"),
    "billing_history": ("promo_type", "billing_flavor"),
    "pool_history": ("type",),
    "repository_history": ("type", "protocol"),
    "storage_history": ("type", "size_unit", "access_modes"),
    "attribute_history": ("owner_kind", "map", "key"),
    "extra_history": ("path",),
    "quarantine_history": ("field", "reason"),
    "sweeps": ("scope", "verdict"),
}
# The words of a line of raw pages.
WORDS_OF_PAGES = (
    "page observed_at repaired order body unreadable text instances total_count data total current pages size"
)


@dataclass(frozen=True)
class Person:
    """Whom to erase: the values that stand where persons do, those of them to look for in every text, and
    what comes in their place."""

    persons: Sequence[str]
    anywhere: Sequence[str]
    token: str

    def person(self, value: str) -> str:
        """A value where a person stands."""
        return self.token if value in self.persons else self.text(value)

    def text(self, text: str) -> str:
        """Any text; JSON stays JSON."""
        return self._pattern.sub(self.token, text) if self.anywhere else text

    def json(self, text: str) -> str:
        """A text of JSON, with persons in it."""
        return self.text(change_persons(text, self.person))

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        longest_first = sorted(self.anywhere, key=len, reverse=True)
        # An escape of JSON before a word is no part of it.
        begin, end = r"(?:(?<![A-Za-z0-9_])|(?<=\\[bfnrt]))", "(?![A-Za-z0-9_])"
        return re.compile(f"{begin}(?:{'|'.join(map(_spelled, longest_first))}){end}")


def _spelled(value: str) -> str:
    """The pattern of a value as text or as JSON, with or without escapes."""
    plain = {'"': r'\\?"', "\\": r"\\\\?", "/": r"\\?/"}
    return "".join(plain.get(each) or _letter(each) for each in value)


def _letter(letter: str) -> str:
    if letter.isascii():
        return re.escape(letter)
    escaped = json.dumps(letter)[1:-1].replace("\\", "\\\\")
    return f"(?:{re.escape(letter)}|(?i:{escaped}))"


def find(lake: Lake, settings: Settings, who: str) -> Person:
    """The person of an id or a name, with all that is known to be theirs."""
    given = [who, kept_as(settings, who)]
    with views.unlocked(lake) as connection:
        found = _values(
            connection,
            "select user_id from user_history where user_id in $1 or user_name in $1 "
            "union select user_id from instance_history where user_id in $1",
            given,
        )
        ids = [each for each in found if each in given] or found
        if not ids:
            raise UsageError(
                f"nobody is known as {who!r}: give the id or the name of a user, as they are kept"
            )
        if len(ids) > 1:
            raise UsageError(f"several are known as {who!r}: give one of their ids, {', '.join(ids)}")
        names = _values(connection, "select user_name from user_history where user_id in $1", ids)
        theirs = _repository_persons(connection, ids, names)
        persons = sorted({*ids, *names, *theirs} - {"[redacted]"})
        taken = _vocabulary(connection)
    anywhere = [each for each in persons if len(each) >= SHORTEST and each.lower() not in taken]
    return Person(persons, anywhere, FORGOTTEN + secrets.token_hex(8))


def kept_as(settings: Settings, who: str) -> str:
    """What a value is kept as where pseudonyms are."""
    return pseudonym(settings.pseudonym_key, who) if settings.pseudonym_key else who


def _repository_persons(
    connection: duckdb.DuckDBPyConnection, ids: Sequence[str], names: Sequence[str]
) -> list[str]:
    """The names and addresses in the repositories of nobody else, or under the person's own name."""
    return _values(
        connection,
        "select unnest([user_name, user_email]) from repository_history where user_name in $2 or "
        "repository_id in (select repository_id from instance_history where repository_id is not null "
        "group by repository_id having bool_and(coalesce(user_id in $1, false)))",
        ids,
        names,
    )


def _values(connection: duckdb.DuckDBPyConnection, query: str, *given: Sequence[str]) -> list[str]:
    return sorted(
        {value for (value,) in connection.execute(query, [list(each) for each in given]).fetchall() if value}
    )


def _vocabulary(connection: duckdb.DuckDBPyConnection) -> set[str]:
    """The words, in lower case, that say something else than who a person is."""
    texts = [WORDS_OF_PAGES, *(column.field for table in kept() for column in table.columns)]
    texts += [field.path for field in fields()]
    for view, columns in VOCABULARY.items():
        for column in columns:
            texts += _values(connection, f"select distinct {column} from {view}")
    return {word for text in texts for word in (text.lower(), *re.split(r"[^a-z0-9_]+", text.lower()))}
