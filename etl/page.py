"""A page of the listing: what the bytes of an answer say, or why they say nothing."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import duckdb

ID_LENGTH = 200  # an id is "DE-" and a UUID; whatever is far longer identifies nothing

_SHAPE = json.dumps(
    {
        "instances": [{"id": "VARCHAR"}],
        "total_count": "VARCHAR",
        **dict.fromkeys(("error_code", "error_msg", "error_message", "error"), "VARCHAR"),
    }
)
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
    text, repaired = _valid_text(body, connection)
    kind, listed, page = connection.execute(
        "select json_type($1), json_type($1, '$.instances'), json_transform($1, $2)", [text, _SHAPE]
    ).fetchone() or (None, None, None)
    if kind != "OBJECT":
        raise BadPage("the answer is not a JSON object")
    if _error_in(page) and not page["instances"]:
        raise BadPage(_error_in(page))  # an error may come with an empty list: no empty project
    if listed != "ARRAY":
        raise BadPage("the answer has no list of instances")
    total_count = _total_count(page["total_count"])
    ids = tuple(_usable(row["id"] if row else None) for row in page["instances"])
    return Page(text, ids, total_count, observed_at, repaired)


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


def _error_in(page: dict[str, str | None]) -> str:
    """The error that an answer with status 200 carries; empty where it carries none."""
    said = [page[key] for key in ("error_code", "error_msg", "error_message", "error") if page[key]]
    return "the answer is an error: " + " ".join(filter(None, said))[:200] if said else ""


def _valid_text(body: bytes, connection: duckdb.DuckDBPyConnection) -> tuple[str, str]:
    """The body as valid JSON text, and what had to be mended in it."""
    try:
        text = body.decode()
        if _is_valid(text, connection):
            return text, ""
        damage = "broken characters"
    except UnicodeDecodeError:
        damage = "invalid UTF-8"
    text = _mended(body)
    if not text.strip():
        raise BadPage("the answer is empty")
    if not _is_valid(text, connection):
        raise BadPage(f"the answer is not JSON: it begins {text[:60]!r} and has {len(body)} bytes")
    return text, damage


def _mended(body: bytes) -> str:
    """The body with what JSON forbids inside strings replaced by U+FFFD or escapes."""
    text = body.decode("utf-8-sig", errors="replace")
    text = _LONE_SURROGATE.sub(lambda match: match.group(1) or "\\ufffd", text)
    return _STRING.sub(
        lambda string: _CONTROL.sub(lambda found: f"\\u{ord(found.group()):04x}", string.group()),
        text,
    )


def _is_valid(text: str, connection: duckdb.DuckDBPyConnection) -> bool:
    found = connection.execute("select json_valid($1)", [text]).fetchone()
    return bool(found and found[0])
