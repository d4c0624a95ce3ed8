"""A page of the listing: what the bytes of an answer say, or why they say nothing."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import duckdb
import orjson

from etl.apis import INSTANCES, Resource

ID_LENGTH = 200  # an id is "DE-" and a UUID; whatever is far longer identifies nothing

HELD_BYTES = 32_000_000  # of a page whose values are all held at once, for they take five times as much

_ERRORS = ("error_code", "error_msg", "error_message", "error")
_READ = """
select json_type($1, ['$', '$.$rows']) as kinds, page.$total,
    list_transform(page.$rows, lambda row: row.id) as ids,
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
    """One page of the listing, with the id of each row in order (None where it has no usable one).

    `documents` are the values of its rows, where they have been read; `resource` is the list it is of.
    """

    body: str
    ids: tuple[str | None, ...]
    total_count: int
    observed_at: datetime
    repaired: str = ""
    documents: list[Any] | None = field(default=None, compare=False, repr=False)
    resource: Resource = INSTANCES


def read_page(
    body: bytes,
    observed_at: datetime,
    connection: duckdb.DuckDBPyConnection,
    resource: Resource = INSTANCES,
) -> Page:
    """The page in the (redacted) body of an answer; BadPage where there is none."""
    page = _plain_page(faithful(body, connection), body, observed_at, resource)
    if page:
        return page
    text, repaired, (kinds, total, ids, said) = _valid_text(body, connection, resource)
    if kinds is None or kinds[0] != "OBJECT":
        raise BadPage("the answer is not a JSON object")
    error = " ".join(filter(None, said))[:200]
    if error and not ids:
        raise BadPage(f"the answer is an error: {error}")  # one may come with an empty list: no empty project
    if kinds[1] != "ARRAY":
        raise BadPage(f"the answer has no list of {'flavors' if resource.is_catalogue else 'instances'}")
    usable = tuple(_usable(value) for value in ids)
    return Page(text, usable, _total_count(total, resource.total), observed_at, repaired, resource=resource)


def faithful(body: bytes, connection: duckdb.DuckDBPyConnection) -> Any:
    """The values in the text of a page where reading them loses nothing; None where it does, or is no JSON.

    What is lost elsewhere is the first of two equal keys, or a digit. Whoever writes the values the shortest
    way gets the text again, or what DuckDB makes of the text, which keeps such keys.
    """
    if len(body) > HELD_BYTES:
        return None
    try:
        found = orjson.loads(body)
        shortest = orjson.dumps(found)
        if shortest == body:
            return found
        [(text,)] = connection.execute("select json($1)::varchar", [body.decode()]).fetchall()
    except (ValueError, TypeError, duckdb.Error):
        return None
    return found if text.encode() == shortest else None


def _plain_page(found: Any, body: bytes, observed_at: datetime, resource: Resource) -> Page | None:
    """The page of these values, where all that makes it one is of the kind that it should be."""
    if type(found) is not dict or any(found.get(name) for name in _ERRORS):
        return None
    documents, total = found.get(resource.rows), found.get(resource.total)
    if type(documents) is not list or type(total) is not int or total < 0:
        return None
    ids = [each.get("id") if type(each) is dict else None for each in documents]
    if not all(each is None or type(each) is str for each in ids):
        return None
    usable = tuple(map(_usable, ids))
    return Page(body.decode(), usable, total, observed_at, documents=documents, resource=resource)


def _usable(value: str | None) -> str | None:
    """The id if it can serve as one: text or a number of a sensible length."""
    if not value or len(value) > ID_LENGTH or value[0] in "{[" or value in ("true", "false"):
        return None
    return value


def _total_count(value: str | None, name: str) -> int:
    try:
        total_count = int(value or "")
    except ValueError:
        raise BadPage(f"the answer's {name} is {value!r}, not a number") from None
    if total_count < 0:
        raise BadPage(f"the answer's {name} is {total_count}")
    return total_count


def _valid_text(
    body: bytes, connection: duckdb.DuckDBPyConnection, resource: Resource
) -> tuple[str, str, Any]:
    """The body as valid JSON text, what had to be mended in it, and what `_READ` reads in it."""
    try:
        text = body.decode()
        if found := _read(text, connection, resource):
            return text, "", found
        damage = "broken characters"
    except UnicodeDecodeError:
        damage = "invalid UTF-8"
    text = _mended(body)
    if not text.strip():
        raise BadPage("the answer is empty")
    if found := _read(text, connection, resource):
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


def _read(text: str, connection: duckdb.DuckDBPyConnection, resource: Resource) -> Any:
    """What is read in a text; None where it is not JSON."""
    errors = dict.fromkeys(_ERRORS, "VARCHAR")
    shape = json.dumps({resource.rows: [{"id": "VARCHAR"}], resource.total: "VARCHAR", **errors})
    query = _READ.replace("$rows", resource.rows).replace("$total", resource.total)
    try:
        return connection.execute(query, [text, shape]).fetchone()
    except (duckdb.InvalidInputException, duckdb.ConversionException, UnicodeDecodeError):
        return None  # the last where DuckDB's message quotes a part of the text that ends inside a character
