"""The SQL that comes with demeter: one file, one relation, one name."""

from __future__ import annotations

from functools import cache
from pathlib import Path


@cache
def directory() -> Path:
    """Where the SQL files are: inside the installed package, or beside it in a checkout."""
    installed = Path(__file__).with_name("sql")
    return installed if installed.is_dir() else Path(__file__).parents[1] / "sql"


@cache
def text(kind: str, name: str) -> str:
    """The SQL of the relation `name` among the kind (tidy, reports, ...)."""
    return (directory() / kind / f"{name}.sql").read_text(encoding="utf-8").rstrip().rstrip(";")


def names(kind: str) -> list[str]:
    """The names of all relations of a kind, sorted."""
    return sorted(path.stem for path in (directory() / kind).glob("*.sql"))
