"""What moves in a listing while somebody pages through it: rows come, go and change status."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any

from etl.emulator.faults import Faults
from etl.emulator.identifiers import instance_id
from etl.emulator.parameters import Query
from etl.emulator.rows import DocumentRow, Row, fields_of, ordered, selected

NODE_OF_NEW_ROWS = 0xD21F7
ENDS = ("remain_time", "stop_timestamp")
OPPOSITE = {"RUNNING": "STOPPED", "STOPPED": "RUNNING"}


class Drift:
    """The difference between a source and what is listed; it grows page by page."""

    def __init__(self) -> None:
        self.changes = 0
        self._first: list[Row] = []  # Before all others in ascending order, whatever the key.
        self._last: list[Row] = []
        self._gone: set[str] = set()
        self._moved: dict[str, Row] = {}
        self._random = Random(1)

    def rows(self, base: Sequence[Row]) -> Sequence[Row]:
        """All rows that are there, as they are now."""
        return self._there([*self._first, *base, *self._last])

    def order(self, base: Sequence[Row], query: Query, caller_id: str | None) -> list[Row]:
        """The rows that a query asks for, in its order; the new ones before or after the rest."""
        first, last = self._first, self._last
        if query.descending:
            first, last = last[::-1], first[::-1]
        parts = [self._there(part) for part in (first, base, last)]
        chosen = [selected(part, query, caller_id) for part in parts]
        return [*chosen[0], *ordered(chosen[1], query), *chosen[2]]

    def after_page(
        self, rows: list[Row], base: Sequence[Row], query: Query, now_us: int, faults: Faults
    ) -> None:
        """Let happen what the faults say happens after a page of these rows."""
        both = faults.delete_and_create_per_page
        if rows:
            for _ in range(faults.insert_per_page):
                self._add(rows[0], at_front=True, query=query, now_us=now_us)
            for _ in range(faults.append_per_page + both):
                self._add(rows[-1], at_front=False, query=query, now_us=now_us)
        self._delete(rows[: faults.delete_per_page + both])
        if faults.status_moves_per_page:
            self._move(self.rows(base), faults.status_moves_per_page, now_us)

    def _there(self, rows: Sequence[Row]) -> Sequence[Row]:
        if not self.changes:
            return rows
        moved = [self._moved.get(row.instance_id, row) for row in rows]
        return [row for row in moved if row.instance_id not in self._gone]

    def _delete(self, rows: list[Row]) -> None:
        self._gone |= {row.instance_id for row in rows}
        self.changes += len(rows)

    def _add(self, like: Row, at_front: bool, query: Query, now_us: int) -> None:
        """Add a row like another one, beyond the end of the order that is meant."""
        self.changes += 1
        if at_front != query.descending:
            created_ms = min([like.created_ms, *(row.created_ms for row in self._first)]) - 1
            self._first.insert(0, self._new_row(like, created_ms, now_us))
        else:
            newest_ms = max([like.created_ms, *(row.created_ms for row in self._last)])
            created_ms = max(newest_ms + 1, now_us // 1000)
            self._last.append(self._new_row(like, created_ms, now_us))

    def _new_row(self, like: Row, created_ms: int, now_us: int) -> DocumentRow:
        identity = instance_id(created_ms * 1000, 16, self.changes, NODE_OF_NEW_ROWS)
        stamp = str(created_ms)
        changed = {"id": identity, "name": f"new-{self.changes}", "creation_timestamp": stamp}
        return _altered(like, now_us, {**changed, "latest_update_timestamp": stamp})

    def _move(self, rows: Sequence[Row], count: int, now_us: int) -> None:
        movable = [row for row in rows if row.status in OPPOSITE]
        for row in self._random.sample(movable, min(count, len(movable))):
            status = OPPOSITE[str(row.status)]
            changed = {"status": status, "latest_update_timestamp": str(now_us // 1000)}
            self._moved[row.instance_id] = _altered(row, now_us, changed)
            self.changes += 1


def _altered(row: Row, now_us: int, changed: dict[str, Any]) -> DocumentRow:
    """A copy of a row that stands still from now on, with some fields of it changed."""
    document = {**fields_of(row.body(now_us)), **changed}
    match document:
        case {"status": "STOPPED", "spec": {"auto_stop": {**auto_stop}, **spec}}:
            told = {name: auto_stop[name] for name in auto_stop if name not in ENDS}
            document["spec"] = {**spec, "auto_stop": told}
    return DocumentRow(document)
