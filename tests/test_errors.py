"""Every error that a user can meet says what to do next."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest
from test_repository import FILES

from etl import errors
from etl.errors import DemeterError

# What a reader is told to do; a hint or a command in code type will do as well.
WORDS = """
add ask check choose copy give grant install keep leave let list lists look
lower make mend mends mending name put raise renew restore run save see set
shows take try unset upgrade use wait write
"""
PHRASES = "usage: |did you mean|queries read|only read|it is one of|it looks like|it takes|there are"
MOVES = re.compile(rf"`[a-z./]+ [a-z]|{PHRASES}|\b({'|'.join(WORDS.split())})\b", re.IGNORECASE)
# The next move is in what is put into these.
PASSED_ON = ("the service refused the credentials", "there is no ", "; ", "the report ")


@cache
def kinds() -> set[str]:
    """The names of all classes of errors in etl."""
    known = {name for name, kind in vars(errors).items() if isinstance(kind, type)}
    trees = [ast.parse(path.read_text()) for path in FILES.values()]
    while True:
        found = {
            node.name
            for tree in trees
            for node in ast.walk(tree)
            if isinstance(node, ast.ClassDef)
            and {ast.unparse(base).split(".")[-1] for base in node.bases} & known
        }
        if found <= known:
            return known
        known |= found


def said(node: ast.expr) -> str:
    """The words of a message that stand in the code."""
    return " ".join(str(each.value) for each in ast.walk(node) if isinstance(each, ast.Constant))


def messages(path: Path) -> list[tuple[int, str]]:
    """The line and the words of every message in a file with which an error is made."""
    known = kinds()
    return [
        (node.lineno, said(node.args[-1]))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        and ast.unparse(node.func).split(".")[-1] in known
        and node.args
        and said(node.args[-1]).strip()
    ]


@pytest.mark.parametrize("name", sorted(FILES))
def test_every_message_of_an_error_names_a_next_move(name: str) -> None:
    silent = [
        (line, text)
        for line, text in messages(FILES[name])
        if not MOVES.search(text) and not (text.startswith(PASSED_ON) and len(text) < 50)
    ]
    assert silent == []


def test_messages_are_found() -> None:
    assert {"UsageError", "BadRequest", "Damaged"} <= kinds()
    assert sum(len(messages(path)) for path in FILES.values()) > 100
    assert issubclass(errors.UsageError, DemeterError)
