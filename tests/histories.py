"""Histories made by hand: what sweeps saw of instances, minute by minute, and the marts of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import duckdb

from bench.relations import COLUMNS, Row, Sweep, history, instant, of_sweep, sweep_row, worked_out
from etl.emulator.clock import microseconds

MINUTE = 60_000_000
NOON = microseconds("2026-10-14T12:00:00Z")
UNSEEN = object()  # What an incomplete sweep says of an instance that it did not come to.


def minutes(instant_us: int) -> float:
    """The minutes from noon to an instant."""
    return (instant_us - NOON) / MINUTE


def at(minute: float) -> Any:
    """The instant so many minutes after noon."""
    return instant(NOON + round(minute * MINUTE))


def sweep(minute: float, verdict: str = "complete") -> Sweep:
    """A sweep so many minutes after noon."""
    return Sweep(NOON + round(minute * MINUTE), verdict)


def seen_as(
    status: str,
    *,
    created: float = -9000,
    updated: float | None = -6000,
    run: float | None = None,
    stop: float | None = None,
    **others: Any,
) -> Row:
    """A document, its instants in minutes after noon.

    `run` is when the present run began, of an instance with an auto-stop after an hour; with
    `stop` it is to be stopped then.
    """
    stop = run + 60 if stop is None and run is not None else stop
    run = stop - 60 if run is None and stop is not None else run
    plain = {
        **dict.fromkeys(("user_id", "pool_id", "workspace_id", "ai_project_id", "error_code")),
        "name": "one",
        "description": None,
        "status": status,
        "created_at": at(created),
        "updated_at": None if updated is None else at(updated),
        "stop_at": None if stop is None else at(stop),
        "run_started_at": None if run is None else at(run),
        "flavor": "cpu.2u",
        "auto_stop_enabled": stop is not None,
        "auto_stop_seconds": None if stop is None else 3600,
    }
    return plain | others


def rows_of(sweeps: Sequence[Sweep], seen: Mapping[str, Sequence[Any]]) -> dict[str, list[Row]]:
    """The relations of sweeps that saw of each instance a document, None where it was not there."""
    found: dict[str, list[Row]] = {name: [] for name in COLUMNS}
    found["sweeps"] = [sweep_row(number, each) for number, each in enumerate(sweeps)]
    for name, documents in seen.items():
        told = [
            (number, each, None if document is None else {**document, "instance_id": name})
            for number, (each, document) in enumerate(zip(sweeps, documents, strict=True))
            if document is not UNSEEN and each.verdict != "failed"
        ]
        found["instance_history"] += history(told)
    found["flavor_history"] = [
        {**of_sweep(0, sweeps[0]), "change": "new", "flavor": "cpu.2u", "cpu_count": 2}
    ]
    return found


def marts(sweeps: Sequence[Sweep], seen: Mapping[str, Sequence[Any]]) -> duckdb.DuckDBPyConnection:
    """A connection with the marts of a history."""
    return worked_out(rows_of(sweeps, seen))


def stretches(connection: duckdb.DuckDBPyConnection, name: str) -> list[tuple[Any, ...]]:
    """The stretches of an instance: kind, evidence and three intervals in minutes; None is an empty one."""
    found = connection.execute(
        """
        select kind, evidence, min_from_us, min_to_us, from_us, to_us, max_from_us, max_to_us
        from stretches where instance_id = $1 order by max_from_us, max_to_us
        """,
        [name],
    ).fetchall()
    return [
        (kind, evidence, *(interval(instants[place], instants[place + 1]) for place in (0, 2, 4)))
        for kind, evidence, *instants in found
    ]


def interval(from_us: int, to_us: int) -> tuple[float, float] | None:
    """An interval in minutes after noon."""
    return (minutes(from_us), minutes(to_us)) if from_us < to_us else None
