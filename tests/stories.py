"""Sweeps of instances that change, one after the other, and what each of them wrote."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from support import Row, committed, views_of

from etl.dictionary import Table, kept
from etl.emulator import Clock, Emulator
from etl.lake import Lake
from etl.scope import Scope

NOON = "2026-10-12T12:00:00Z"
QUARTER, DAY = 900.0, 86_400.0

# What a sweep wrote: for each table with rows, the change of each key.
Changes = dict[str, dict[tuple[Any, ...], str]]


@dataclass(frozen=True)
class Notebook:
    """An instance as the service has it."""

    number: int
    name: str = "notebook"
    status: str = "RUNNING"
    labels: tuple[tuple[str, str], ...] = (("team", "vision"), ("tier", "1"))
    volume: int | None = 5
    rank: int | None = None
    remaining: int = 100
    surprise: int | None = None
    without: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        return f"DE-{self.number}"

    @property
    def profile(self) -> str:
        return f"profile-{self.number}"

    @property
    def workspace(self) -> str:
        return "ws-1" if self.number <= 2 else "ws-2"

    @property
    def document(self) -> Row:
        location = {"volume_size": self.volume}
        whole = {
            "id": self.id,
            "name": self.name,
            "status": self.status,
            "creation_timestamp": str(1760227200000 + self.number),
            "workspace": {"id": self.workspace},
            "profile": {"id": self.profile, "labels": dict(self.labels)},
            "spec": {
                "auto_stop": {"enable": True, "remain_time": self.remaining},
                "storage": {"type": "evs", "location": location} if self.volume else None,
            },
            "queuing_info": {"rank": self.rank, "status": "START_QUEUING"} if self.rank else None,
            "surprise": self.surprise,
        }
        return {name: value for name, value in whole.items() if name not in self.without}


@dataclass
class Line:
    """A service and the lake that it is swept into, with the sweeps made so far."""

    service: Emulator
    lake: Lake
    sweeps: list[str] = field(default_factory=list)

    def sweep(self, notebooks: Iterable[Notebook], after: float = QUARTER, scope: Scope | None = None) -> str:
        """Sweep these instances some seconds after the last sweep; its verdict."""
        self.service.documents = [each.document for each in notebooks]
        self.service.clock.advance(seconds=after)
        self.service.requests.clear()
        found = committed(self.service, self.lake, scope, attempts=1, limit=2)
        self.sweeps.append(found.sweep_id)
        return found.verdict

    def written(self) -> dict[str, list[Row]]:
        """All rows of all tables, in the order they were written."""
        found = views_of(self.lake, *(table.history for table in kept()))
        return {
            table.name: sorted(found[table.history], key=lambda row: (row["observed_at"], row["sweep_id"]))
            for table in kept()
        }

    def changes(self) -> list[Changes]:
        """What each of the sweeps wrote."""
        tables = self.written()
        return [changes_of(tables, sweep_id) for sweep_id in self.sweeps]


@contextmanager
def line_to(directory: Path) -> Iterator[Line]:
    with Emulator.of_documents([], clock=Clock.at(NOON)) as service:
        yield Line(service, Lake(directory / "lake"))


def key_of(table: Table, row: Row) -> tuple[Any, ...]:
    return tuple(row[key] for key in table.keys)


def changes_of(tables: dict[str, list[Row]], sweep_id: str) -> Changes:
    found = {
        table.name: {
            key_of(table, row): row["change"] for row in tables[table.name] if row["sweep_id"] == sweep_id
        }
        for table in kept()
    }
    return {name: rows for name, rows in found.items() if rows}
