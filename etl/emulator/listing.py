"""The rows of one project as a caller sees them, kept in order until something changes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from random import Random

from etl.emulator.drift import Drift
from etl.emulator.faults import Faults
from etl.emulator.parameters import Query
from etl.emulator.rows import Row, Source


class Listing:
    """A source, what drifted away from it, and which ids were there all the time."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self._drift = Drift()
        self._base: Sequence[Row] = ()
        self._changes = -1
        self._orders: dict[Query, list[Row]] = {}
        self._throughout: set[str] | None = None
        self._random = Random(2)

    @property
    def verbatim(self) -> bytes | None:
        """The whole listing as one body, where the source has one and nothing drifted."""
        return None if self._drift.changes else self.source.verbatim

    def rows(self, now_us: int) -> Sequence[Row]:
        """All rows, in no particular order."""
        self._look(now_us)
        return self._drift.rows(self._base)

    def select(self, query: Query, now_us: int, faults: Faults) -> list[Row]:
        """The rows that a query asks for, all pages of them, in its order."""
        self._look(now_us)
        unpaged = replace(query, offset=0, limit=0)
        caller_id = self.source.caller.user_id
        if faults.swap_ties:
            # Sorting keeps ties as they come, so it is enough to shuffle what is sorted.
            shuffled = self._random.sample(self._base, len(self._base))
            return self._drift.order(shuffled, unpaged, caller_id)
        if unpaged not in self._orders:
            self._orders[unpaged] = self._drift.order(self._base, unpaged, caller_id)
        rows = self._orders[unpaged]
        return sorted(rows, key=lambda row: row.instance_id) if faults.ignore_sort else rows

    def drift(self, rows: list[Row], query: Query, now_us: int, faults: Faults) -> None:
        """Let happen what the faults say happens after a page of these rows."""
        self._drift.after_page(rows, self._base, query, now_us, faults)

    def ids_throughout(self, now_us: int) -> set[str]:
        """The ids that were listed at every instant since `forget`, or since the beginning."""
        self._look(now_us)
        return set(self._throughout or ())

    def forget(self) -> None:
        """Begin the count of `ids_throughout` again."""
        self._throughout = None
        self._changes = -1

    def _look(self, now_us: int) -> None:
        """Take notice of what changed since the last look."""
        base = self.source.rows_at(now_us)
        if base is self._base and self._changes == self._drift.changes:
            return
        self._base, self._changes = base, self._drift.changes
        self._orders.clear()
        present = {row.instance_id for row in self._drift.rows(base)}
        vanished = self.source.take_vanished()
        if self._throughout is None:
            self._throughout = present
        else:
            self._throughout &= present - vanished
