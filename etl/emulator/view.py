"""The fleet at the instant of one service's clock: only what changed is looked at again."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Protocol

import orjson

from etl.emulator import documents
from etl.emulator.catalogue import FLAVORS
from etl.emulator.documents import REMAINING
from etl.emulator.instance import Instance
from etl.emulator.rows import Caller, Row
from etl.emulator.states import State

UNBORN = State(0, "", FLAVORS[0], "", 0, 0, is_listed=False)


class Lives(Protocol):
    """What a view needs of a fleet; the lock guards the lives, which are drawn on demand."""

    @property
    def caller(self) -> Caller: ...

    @property
    def planted_secrets(self) -> Sequence[str]: ...

    @property
    def instances(self) -> Sequence[Instance]: ...

    @property
    def lock(self) -> AbstractContextManager[object]: ...


class InstanceRow:
    """An instance as a row; its JSON is kept until something in it changes."""

    __slots__ = ("_key", "_parts", "created_ms", "fixed", "life", "position", "state")

    def __init__(self, instance: Instance, position: int) -> None:
        self.fixed = instance.fixed
        self.life = instance.life
        self.created_ms = instance.created_us // 1000
        self._key: tuple[State, int] | None = None
        self._parts: tuple[bytes, ...] = ()
        self.position = position
        self.state = self.life.states[position] if position >= 0 else UNBORN

    @property
    def instance_id(self) -> str:
        """The id of the instance."""
        return self.fixed.instance_id

    @property
    def name(self) -> str:
        """The name that it has now."""
        return self.state.name

    @property
    def status(self) -> str | None:
        """The status that it has now."""
        return self.state.status

    @property
    def user_id(self) -> str | None:
        """Whose it is."""
        return str(self.fixed.user["id"])

    @property
    def workspace_id(self) -> str | None:
        """The workspace that it is in."""
        return self.fixed.workspace_id

    @property
    def ai_project_id(self) -> str | None:
        """The AI project that it is in."""
        return self.fixed.ai_project_id

    @property
    def pool_id(self) -> str | None:
        """The dedicated pool that it is in, if any."""
        return None if self.fixed.pool is None else str(self.fixed.pool["id"])

    @property
    def is_listed(self) -> bool:
        """Whether it is there, and shown."""
        return self.state.is_listed

    @property
    def next_us(self) -> int | None:
        """When it changes next; None if it does not."""
        return self.life.change_after(self.position)

    def move(self, now_us: int) -> bool:
        """Go to an instant; whether it was away on the way, or is now."""
        before, self.position = self.position, self.life.position_at(now_us)
        self.state = self.life.states[self.position]
        passed = self.life.states[before + 1 : self.position + 1]
        return not self.is_listed or any(not state.is_listed for state in passed)

    def body(self, now_us: int) -> bytes:
        """The document at an instant."""
        state = self.state
        if state.queue_end_us is not None or state.updated_us > now_us:
            return documents.serialized(self.fixed, state, now_us)
        key = (state, documents.market_period(self.fixed, state, now_us))
        if self._key is None or self._key[0] is not state or self._key[1] != key[1]:
            self._key, self._parts = key, self._drawn_up(now_us)
        if state.stop_us is None or len(self._parts) == 1:
            return self._parts[0]
        left = documents.remaining_seconds(state.stop_us, now_us)
        return b"%b%d%b" % (self._parts[0], left, self._parts[1])

    def _drawn_up(self, now_us: int) -> tuple[bytes, ...]:
        document = documents.document(self.fixed, self.state, now_us, REMAINING)
        text = orjson.dumps(document, option=orjson.OPT_SORT_KEYS)
        return tuple(text.split(b"%d" % REMAINING, 1))


class View:
    """The rows of a fleet, moved along with a clock."""

    verbatim: bytes | None = None

    def __init__(self, fleet: Lives) -> None:
        self._fleet = fleet
        self._now_us: int | None = None
        self._rows: list[InstanceRow] = []
        self._due: list[tuple[int, int]] = []
        self._listed: list[Row] = []
        self._vanished: set[str] = set()

    @property
    def caller(self) -> Caller:
        """The first user of the fleet."""
        return self._fleet.caller

    @property
    def planted_secrets(self) -> Sequence[str]:
        """The made-up credentials in the fleet."""
        return self._fleet.planted_secrets

    def rows_at(self, now_us: int) -> Sequence[Row]:
        """The listed instances at an instant, by creation."""
        with self._fleet.lock:
            if self._now_us is None or now_us < self._now_us:
                self._begin(now_us)
            elif self._due and self._due[0][0] <= now_us:
                self._move(now_us)
            self._now_us = now_us
        return self._listed

    def take_vanished(self) -> set[str]:
        """The ids that were away at some instant since this was last asked."""
        vanished, self._vanished = self._vanished, set()
        return vanished

    def _begin(self, now_us: int) -> None:
        found = [(one, one.life.position_at(now_us)) for one in self._fleet.instances]
        self._rows = [InstanceRow(one, position) for one, position in found]
        numbered = enumerate(self._rows)
        self._due = [(row.next_us, at) for at, row in numbered if row.next_us is not None]
        heapq.heapify(self._due)
        self._listed = [row for row in self._rows if row.is_listed]

    def _move(self, now_us: int) -> None:
        while self._due and self._due[0][0] <= now_us:
            number = self._due[0][1]
            row = self._rows[number]
            if row.move(now_us):
                self._vanished.add(row.instance_id)
            if row.next_us is None:
                heapq.heappop(self._due)
            else:
                heapq.heapreplace(self._due, (row.next_us, number))
        self._listed = [row for row in self._rows if row.is_listed]
