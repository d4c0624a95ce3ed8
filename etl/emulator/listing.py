"""The rows of one project as a caller sees them."""

from __future__ import annotations

from collections.abc import Sequence

from etl.emulator.faults import Faults
from etl.emulator.parameters import Query
from etl.emulator.rows import Row, Source, ordered, selected


class Listing:
    """A source, asked again and again; what it answered is kept until something changes."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self._base: Sequence[Row] = ()
        self._orders: dict[tuple[object, ...], list[Row]] = {}

    @property
    def verbatim(self) -> bytes | None:
        """The whole listing as one body, where the source has one."""
        return self.source.verbatim

    def select(self, query: Query, now_us: int, faults: Faults) -> list[Row]:
        """All rows that a query asks for, in its order."""
        return ordered(selected(self._rows(now_us), query, self.source.caller.user_id), query)

    def drift(self, rows: list[Row], query: Query, now_us: int, faults: Faults) -> None:
        """Let happen what the faults say happens after a page."""

    def ids_throughout(self, now_us: int) -> set[str]:
        """The ids that were listed all the time since `forget`."""
        return {row.instance_id for row in self._rows(now_us)}

    def forget(self) -> None:
        """Begin the count of `ids_throughout` again."""

    def _rows(self, now_us: int) -> Sequence[Row]:
        return self.source.rows_at(now_us)
