"""A page of the listing: what the bytes of an answer say, or why they say nothing."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import duckdb

ID_LENGTH = 200  # an id is "DE-" and a UUID; whatever is far longer identifies nothing

_SHAPE = json.dumps(
    {
        "instances": [{"id": "VARCHAR"}],
        "total_count": "VARCHAR",
        **dict.fromkeys(("error_code", "error_msg", "error_message", "error"), "VARCHAR"),
    }
)
_READ = """
select json_type($1, ['$', '$.instances']) as kinds, page.total_count,
    list_transform(page.instances, lambda row: row.id) as ids,
    [page.error_code, page.error_msg, page.error_message, page.error] as said
from (select json_transform($1, $2) as page)
"""
_LONE_SURROGATE = re.compile(
    r"(\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\[^u])|\\u[dD][89a-fA-F][0-9a-fA-F]{2}"
)
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)
_CONTROL = re.compile(r"[\x00-\x1f]")


class BadPage(Exception):
    """An answer with status 200 that is no page; its message says what it is."""


@dataclass(frozen=True)
class Page:
    """One page of the listing, with the id of each row in order (None where it has no usable one)."""

    body: str
    ids: tuple[str | None, ...]
    total_count: int
    observed_at: datetime
    repaired: str = ""


def read_page(body: bytes, observed_at: datetime, connection: duckdb.DuckDBPyConnection) -> Page:
    """The page in the (redacted) body of an answer; BadPage where there is none."""
    text, repaired, (kinds, total, ids, said) = _valid_text(body, connection)
    if kinds is None or kinds[0] != "OBJECT":
        raise BadPage("the answer is not a JSON object")
    error = " ".join(filter(None, said))[:200]
    if error and not ids:
        raise BadPage(f"the answer is an error: {error}")  # one may come with an empty list: no empty project
    if kinds[1] != "ARRAY":
        raise BadPage("the answer has no list of instances")
    return Page(text, tuple(_usable(value) for value in ids), _total_count(total), observed_at, repaired)


def _usable(value: str | None) -> str | None:
    """The id if it can serve as one: text or a number of a sensible length."""
    if not value or len(value) > ID_LENGTH or value[0] in "{[" or value in ("true", "false"):
        return None
    return value


def _total_count(value: str | None) -> int:
    try:
        total_count = int(value or "")
    except ValueError:
        raise BadPage(f"the answer's total_count is {value!r}, not a number") from None
    if total_count < 0:
        raise BadPage(f"the answer's total_count is {total_count}")
    return total_count


def _valid_text(body: bytes, connection: duckdb.DuckDBPyConnection) -> tuple[str, str, Any]:
    """The body as valid JSON text, what had to be mended in it, and what `_READ` reads in it."""
    try:
        text = body.decode()
        if found := _read(text, connection):
            return text, "", found
        damage = "broken characters"
    except UnicodeDecodeError:
        damage = "invalid UTF-8"
    text = _mended(body)
    if not text.strip():
        raise BadPage("the answer is empty")
    if found := _read(text, connection):
        return text, damage, found
    raise BadPage(f"the answer is not JSON: it begins {text[:60]!r} and has {len(body)} bytes")


def _mended(body: bytes) -> str:
    """The body with what JSON forbids inside strings replaced by U+FFFD or escapes."""
    text = body.decode("utf-8-sig", errors="replace")
    text = _LONE_SURROGATE.sub(lambda match: match.group(1) or "\\ufffd", text)
    return _STRING.sub(
        lambda string: _CONTROL.sub(lambda found: f"\\u{ord(found.group()):04x}", string.group()),
        text,
    )


def _read(text: str, connection: duckdb.DuckDBPyConnection) -> Any:
    """What is read in a text; None where it is not JSON."""
    try:
        return connection.execute(_READ, [text, _SHAPE]).fetchone()
    except (duckdb.InvalidInputException, duckdb.ConversionException, UnicodeDecodeError):
        return None  # the last where DuckDB's message quotes a part of the text that ends inside a character
