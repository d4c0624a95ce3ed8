"""The SQL that comes with demeter: one file, one relation, one name."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

# Functions that the reports call and no engine has, each of one `number`: the casts of two engines do not
# round all doubles alike.
FUNCTIONS = {
    "six_decimals": "cast(cast(round(1000000 * number) as bigint) * 0.000001 as decimal(18, 6))",
}


@cache
def directory() -> Path:
    """Where the SQL files are."""
    return carried("sql")


def carried(folder: str) -> Path:
    """Where a folder of the repository is: inside the installed package, or beside it in a checkout."""
    installed = Path(__file__).with_name(folder)
    return installed if installed.is_dir() else Path(__file__).parents[1] / folder


@cache
def text(kind: str, name: str) -> str:
    """The SQL of the relation `name` among the kind (tidy, reports, ...)."""
    return (directory() / kind / f"{name}.sql").read_text(encoding="utf-8").rstrip().rstrip(";")


def names(kind: str) -> list[str]:
    """The names of all relations of a kind, sorted."""
    return sorted(path.stem for path in (directory() / kind).glob("*.sql"))


def divided(sql: str) -> tuple[str, str]:
    """The comments that a text begins with, and the rest of it."""
    head = "".join(re.findall(r"\A(?:--.*\n)*", sql))
    return head, sql.removeprefix(head)


def meaning(kind: str, name: str) -> tuple[str, str, str]:
    """What the comments of a relation say: its question, its grain, and what else there is to know."""
    head, _ = divided(text(kind, name))
    comments = " ".join(line.removeprefix("--").strip() for line in head.splitlines())
    question, _, rest = comments.partition(" Grain: ")
    grain, _, note = rest.partition(". ")
    return question, grain.removesuffix("."), note
