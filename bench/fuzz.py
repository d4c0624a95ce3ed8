"""Guided by what they reach, bytes are put into the code that meets the service: `make fuzz`.

    python -m bench.fuzz page CORPUS... -max_total_time=300

`page` takes them for the body of an answer, and `pager` draws from them a listing that moves and a service
that misbehaves. What may not be is an assertion; any other exception is a finding too.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import atheris

with atheris.instrument_imports(include=["etl"]):
    from etl import redaction
    from etl.dictionary import kept
    from etl.flatten import Staging, relations
    from etl.page import BadPage, Page, read_page
    from etl.raw import RawPage

from bench.kept import Row, missing, spread

TESTS = Path(__file__).parents[1] / "tests"
NOON = datetime(2026, 10, 12, 12, tzinfo=UTC)


class Flattener:
    """A staging database that is emptied after each page, for making one takes longer than a page."""

    def __init__(self) -> None:
        self.staging = Staging()
        self.connection = self.staging.connection
        relations(self.connection)
        self.cursor = self.connection.cursor()
        self.filled = [
            name
            for (name,) in self.connection.execute(
                "select table_name from duckdb_tables() where not temporary"
            ).fetchall()
        ]

    def read(self, body: bytes) -> Page | None:
        """The page in the body of an answer, if there is one."""
        try:
            return read_page(redaction.redact(body), NOON, self.cursor)
        except BadPage:
            return None

    def flattened(self, page: Page) -> dict[str, list[Row]]:
        """The tidy relations of the page."""
        self.staging.add([RawPage(0, 1, page)])
        self.staging.settle()
        spread(self.connection)
        found = {table.name: self._rows(f"tidy_{table.name}") for table in kept()}
        for name in self.filled:
            self.connection.execute(f"delete from {name}")
        return found

    def _rows(self, name: str) -> list[Row]:
        relation = self.connection.sql(f"from {name}")
        return [dict(zip(relation.columns, row, strict=True)) for row in relation.fetchall()]


def page_target() -> Callable[[bytes], None]:
    """Whatever an answer says is refused by name, or is in the tables."""
    flattener = Flattener()

    def target(body: bytes) -> None:
        page = flattener.read(body)
        if page:
            found = flattener.flattened(page)
            usable = sorted(filter(None, page.ids))
            assert sorted(row["instance_id"] for row in found["instances"]) == usable  # noqa: S101
            said = parsed(page.body)
            if said is not None and len(set(usable)) == len(usable) == len(said):
                assert missing(said, found) == []  # noqa: S101

    return target


def parsed(body: str) -> list[Row] | None:
    """The documents in the body, each with a text as its id; None where Python reads JSON otherwise."""
    try:
        documents = json.loads(body, object_pairs_hook=once, parse_constant=refused)["instances"]
    except (ValueError, RecursionError):
        return None
    as_text = all(isinstance(each, dict) and isinstance(each.get("id"), str) for each in documents)
    return documents if as_text else None


def once(pairs: Iterable[tuple[str, Any]]) -> Row:
    """An object in which no key stands twice."""
    listed = list(pairs)
    if len(dict(listed)) < len(listed):
        raise ValueError("a key twice")
    return dict(listed)


def refused(name: str) -> Any:
    """Infinity and its like are no JSON."""
    raise ValueError(name)


def pager_target() -> Callable[[bytes], Any]:
    """A listing that is called complete holds what was there all the time."""
    sys.path.insert(0, str(TESTS))
    with atheris.instrument_imports(include=["etl.listing", "etl.walk"]):
        from test_listing import test_complete_is_true_whatever_comes_and_goes as claim
    return claim.hypothesis.fuzz_one_input  # type: ignore[attr-defined, no-any-return]


def main() -> None:
    """Run the target that is named, with what libFuzzer takes after it."""
    name = sys.argv.pop(1)
    atheris.Setup(sys.argv, {"page": page_target, "pager": pager_target}[name]())
    atheris.Fuzz()


if __name__ == "__main__":
    main()
