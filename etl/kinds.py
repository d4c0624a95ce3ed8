"""Read the values of plain documents: each reader gives the value that SQL would give, or raises Odd."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from etl import columns
from etl.page import ID_LENGTH


class Odd(Exception):
    """A document has something that is not plain."""


def says(value: Any) -> bool:
    """Whether a value says anything: nothing and an empty text do not."""
    return value is not None and value != ""


def text(value: Any) -> str:
    """A text, or a whole number as one."""
    if type(value) is str:
        return value
    if type(value) is int:
        return str(value)
    raise Odd


def word(value: Any) -> str:
    """The value of a map, which may be true or false as well."""
    return ("true" if value else "false") if type(value) is bool else text(value)


def identity(value: Any) -> str:
    """The id of an instance, which is text of a sensible length."""
    if (
        type(value) is str
        and len(value) <= ID_LENGTH
        and value[0] not in "{["
        and value not in ("true", "false")
    ):
        return value
    raise Odd


def integer(value: Any) -> int:
    """A whole number of 64 bits, which may come as text."""
    if type(value) is str and len(value) <= 18 and value.isascii() and value.isdigit():
        return int(value)
    if type(value) is int and -(2**63) <= value < 2**63:
        return value
    raise Odd


def milliseconds(value: Any) -> int:
    """A time in milliseconds since 1970, of 12 to 14 digits, which may come as text."""
    if type(value) is str and 12 <= len(value) <= 14 and value.isascii() and value.isdigit():
        return int(value)
    if type(value) is int and 10**11 <= value < 10**14:
        return value
    raise Odd


def boolean(value: Any) -> bool:
    """True or false."""
    if type(value) is bool:
        return value
    raise Odd


_SIZE = re.compile(r"([0-9]{1,9})(?:\.([0-9]{1,6}))? *([A-Za-z]{1,3})")


def size(value: Any) -> int:
    """A size with its unit, as bytes, rounded half up as SQL does."""
    parts = _SIZE.fullmatch(value) if type(value) is str else None
    unit = columns.UNITS.get(parts[3].upper()) if parts else None
    if not parts or not unit:
        raise Odd
    whole, fraction = parts[1], parts[2] or ""
    scale = 10 ** len(fraction)
    found: int = (2 * int(whole + fraction) * unit + scale) // (2 * scale)
    if found >= 2**63:
        raise Odd
    return found


def texts(value: Any) -> str | None:
    """A list of texts, each once and in order, with commas between; None for an empty one."""
    if type(value) is list and all(type(each) is str for each in value):
        return ",".join(sorted(set(value))) or None
    raise Odd


READERS: dict[str, Callable[[Any], Any]] = {
    "text": text,
    "integer": integer,
    "bytes": size,
    "boolean": boolean,
    "timestamp_ms": milliseconds,
    "list": texts,
}


def is_exact(value: Any) -> bool:
    """Whether a value is written by everyone in one way: no numbers with a point, no escapes of controls."""
    if type(value) is dict:
        return all(is_exact(key) and is_exact(inner) for key, inner in value.items())
    if type(value) is list:
        return all(map(is_exact, value))
    if type(value) is str:
        return _CONTROL.search(value) is None
    return value is None or type(value) in (int, bool)


_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
