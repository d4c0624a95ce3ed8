"""Persons in a page: where they stand, and the pseudonyms that may stand there instead.

The work is on the text of a page, so that all else stays as it came, to the last digit.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import Callable
from typing import Any

from etl.page import BadPage

# The fields that hold a person (Tables 19 and 20, and the successor's), wherever they stand; of an object,
# all of it.
FIELDS = ("user", "user_id", "user_name", "user_email")
PREFIX = "p-"
FORGOTTEN = "forgotten-"
DIGITS = 24  # of the hash: 96 bits

Change = Callable[[str], str]

_FIELD = re.compile(rf'(?<!\\)"(?:{"|".join(FIELDS)})"\s*+:\s*+')
_DONE = re.compile(rf"{PREFIX}[0-9a-f]{{{DIGITS}}}|{FORGOTTEN}[0-9a-f]+")


class _Object(list[tuple[str, Any]]):
    """An object as its pairs, so that a key may come twice."""


class _Number(str):
    """A number as it was written."""


_DECODER = json.JSONDecoder(object_pairs_hook=_Object, parse_int=_Number, parse_float=_Number)


def pseudonym(key: str, value: str) -> str:
    """The pseudonym of an id, a name or an address: one for each, and untraceable without the key."""
    if not value or _DONE.fullmatch(value):
        return value
    digest = hmac.new(key.encode(), value.encode("utf-8", "surrogatepass"), hashlib.sha256)
    return PREFIX + digest.hexdigest()[:DIGITS]


def hide_persons(text: str, key: str) -> str:
    """The text of a page with pseudonyms in the place of persons; BadPage where they cannot be found."""
    return change_persons(text, lambda value: pseudonym(key, value))


def change_persons(text: str, change: Change) -> str:
    """A JSON text with every id, name and address of a person changed."""
    pieces: list[str] = []
    done = 0
    for field in _FIELD.finditer(text):
        if field.start() < done:
            continue
        try:
            value, end = _DECODER.raw_decode(text, field.end())
            said = _written(value, change)
            if said == _written(value, str):
                continue
        except RecursionError:
            raise BadPage("a user is nested too deep to be read") from None
        except ValueError:
            continue  # the text of a string, or of no JSON at all
        pieces += (text[done : field.end()], said)
        done = end
    return "".join((*pieces, text[done:]))


def _written(value: Any, change: Change) -> str:
    """A value as JSON, with its texts and numbers changed."""
    if isinstance(value, _Object):
        return "{" + ",".join(f"{_quoted(key)}:{_written(each, change)}" for key, each in value) + "}"
    if isinstance(value, list):
        return "[" + ",".join(_written(each, change) for each in value) + "]"
    if isinstance(value, str):
        changed = change(str(value))
        return str(value) if isinstance(value, _Number) and changed == value else _quoted(changed)
    return json.dumps(value)


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
