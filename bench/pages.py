"""The pages that a benchmark writes: what it found stands between two marks."""

from __future__ import annotations

from pathlib import Path

DOCS = Path(__file__).parents[1] / "docs"
END = "<!-- end -->"


def begin(command: str) -> str:
    """The mark before what a command writes."""
    return f"<!-- begin: {command} -->"


def written(page: str, command: str) -> str:
    """What of a page a command has written."""
    return page.partition(begin(command))[2].partition(END)[0].strip()


def replaced(page: str, command: str, text: str) -> str:
    """A page with the text in place of what the command has written before."""
    before, mark, rest = page.partition(begin(command))
    if not mark:
        raise ValueError(f"the page has no mark {begin(command)!r}")
    return f"{before}{mark}\n\n{text.strip()}\n\n{END}{rest.partition(END)[2]}"


def write(name: str, command: str, text: str) -> None:
    """Put what a command found into a page of the documentation."""
    page = DOCS / name
    page.write_text(replaced(page.read_text(encoding="utf-8"), command, text), encoding="utf-8")


def table(head: str, rows: list[list[str]]) -> str:
    """A table in Markdown; a column whose name begins with > is one of numbers."""
    names = head.split(" | ")
    lines = [
        "| " + " | ".join(name.removeprefix(">") for name in names) + " |",
        "|" + "".join("--:|" if name.startswith(">") else "---|" for name in names),
        *("| " + " | ".join(row) + " |" for row in rows),
    ]
    return "\n".join(lines) + "\n"
