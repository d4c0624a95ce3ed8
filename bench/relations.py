"""What sweeps of an emulated fleet leave in a lake, made straight in DuckDB: no HTTP, no files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import duckdb
import pyarrow as pa

from etl import build, days
from etl.emulator import Fleet, Instance
from etl.emulator.catalogue import FLAVORS
from etl.emulator.states import DAY, SECOND, State
from etl.marts import DERIVED, WITNESSED
from etl.scope import WHOLE

PROJECT = "project-1"
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
Row = dict[str, Any]
# The marts of usage; those of cost need prices too.
USAGE = (
    *("sweep_steps", "scopes", "terms", *WITNESSED, "stretches", "usage_hourly", "usage_daily"),
    *("usage_totals", "state_starts", "queue_sightings", *DERIVED, "coverage"),
)

INSTANT = pa.timestamp("us", "UTC")
OF_SWEEP = {"project_id": pa.string(), "sweep_id": pa.string(), "observed_at": INSTANT}
HISTORY = {**OF_SWEEP, "change": pa.string(), "valid_from": INSTANT}
COLUMNS: dict[str, dict[str, pa.DataType]] = {
    "sweeps": {
        **OF_SWEEP,
        "observed_from": INSTANT,
        "observed_to": INSTANT,
        "scope": pa.string(),
        "verdict": pa.string(),
    },
    "instance_history": {
        **HISTORY,
        **dict.fromkeys(("instance_id", "name", "description", "status"), pa.string()),
        **dict.fromkeys(("created_at", "updated_at", "stop_at", "run_started_at"), INSTANT),
        **dict.fromkeys(("flavor", "user_id", "pool_id", "workspace_id", "ai_project_id"), pa.string()),
        "auto_stop_enabled": pa.bool_(),
        "auto_stop_seconds": pa.int64(),
        "error_code": pa.string(),
    },
    "queue_history": {
        **HISTORY,
        **dict.fromkeys(("instance_id", "flavor", "status"), pa.string()),
        **dict.fromkeys(("began_at", "ends_at"), INSTANT),
    },
    "billing_history": {
        **HISTORY,
        **dict.fromkeys(("flavor", "promo_type", "billing_flavor", "sku"), pa.string()),
        "billing_ratio": pa.int64(),
    },
    "flavor_history": {
        **HISTORY,
        "flavor": pa.string(),
        **dict.fromkeys(("accelerator_count", "cpu_count", "memory_bytes"), pa.int64()),
    },
}


@dataclass(frozen=True)
class Sweep:
    """A sweep at an instant; an incomplete one saw only so many instances, the oldest ones."""

    at_us: int
    verdict: str = "complete"
    seen_count: int | None = None

    @property
    def observed_us(self) -> int:
        """When it was, as the Date header tells: in whole seconds, cut off."""
        return self.at_us // SECOND * SECOND

    @property
    def day(self) -> int:
        """The number of its day in UTC."""
        return self.at_us // DAY


def relations(fleet: Fleet, sweeps: Sequence[Sweep], *, tells_updates: bool = True) -> dict[str, list[Row]]:
    """The rows that the sweeps leave, by relation; updated_at is the creation unless it is told."""
    found: dict[str, list[Row]] = {name: [] for name in COLUMNS}
    found["sweeps"] = [sweep_row(number, sweep) for number, sweep in enumerate(sweeps)]
    listings = [_listed(fleet, sweep) for sweep in sweeps]
    for instance in fleet.instances:
        instance.life.reach_end()
        seen = list(_sightings(instance, sweeps, listings))
        found["instance_history"] += history(_documents(instance, seen, tells_updates))
        found["queue_history"] += _queue(instance, seen)
    first = next((number for number, sweep in enumerate(sweeps) if sweep.verdict == "complete"), None)
    if first is not None:
        found["billing_history"] = [_billing(each, first, sweeps[first]) for each in FLAVORS]
        found["flavor_history"] = [_flavor(each, first, sweeps[first]) for each in FLAVORS]
    return found


def load(connection: duckdb.DuckDBPyConnection, rows: dict[str, list[Row]]) -> None:
    """Make the relations of a connection from their rows."""
    connection.execute("set timezone = 'UTC'")
    for name, columns in COLUMNS.items():
        given = pa.Table.from_pylist(rows[name], schema=pa.schema(list(columns.items())))
        connection.register("given", given)
        connection.execute(f"create or replace table {name} as select * from given")
        connection.unregister("given")


def worked_out(
    rows: dict[str, list[Row]], tz: str = "UTC", statuses: Sequence[str] = ("RUNNING",)
) -> duckdb.DuckDBPyConnection:
    """A connection with these relations and the marts of usage that come of them."""
    connection = duckdb.connect()
    load(connection, rows)
    connection.execute(build.MACROS)
    [(first, last)] = connection.execute(
        "select min(epoch_us(observed_from)), max(epoch_us(observed_to)) from sweeps"
    ).fetchall()
    zone = days.zone(tz)
    span = days.day_of(first, zone), days.day_of(last, zone)
    billed = pa.table({"status": list(statuses)})
    every = days.days(*span, zone)
    given = {
        "calendar": every,
        "days": every,
        "hours": days.hours(*span, zone),
        "billed_statuses": billed,
    }
    for name, table in given.items():
        connection.register("given", table)
        connection.execute(f"create table {name} as select * from given")
        connection.unregister("given")
    for name in USAGE:
        build.run_step(connection, name)
    return connection


def _listed(fleet: Fleet, sweep: Sweep) -> set[str] | None:
    """The ids that an incomplete sweep listed; None for one that listed all."""
    if sweep.verdict == "complete":
        return None
    if sweep.verdict == "failed":
        return set()
    there = fleet.ids_at(sweep.at_us // 1000)
    ordered = [one.instance_id for one in fleet.instances if one.instance_id in there]
    return set(ordered[: sweep.seen_count])


def _sightings(
    instance: Instance, sweeps: Sequence[Sweep], listings: Sequence[set[str] | None]
) -> Iterator[tuple[int, Sweep, State | None]]:
    """Each sweep that tells something of an instance, with its state; None where it is not there."""
    states, position = instance.life.states, -1
    for number, (sweep, listed) in enumerate(zip(sweeps, listings, strict=True)):
        while position + 1 < len(states) and states[position + 1].at_us <= sweep.at_us:
            position += 1
        if listed is not None and instance.instance_id not in listed:
            continue
        is_there = position >= 0 and states[position].is_listed
        yield number, sweep, states[position] if is_there else None


def _documents(
    instance: Instance, seen: Sequence[tuple[int, Sweep, State | None]], tells_updates: bool
) -> Iterator[tuple[int, Sweep, Row | None]]:
    """The documents of an instance; those that cannot differ from the one before are left out."""
    before: tuple[State | None, int] | None = None
    for number, sweep, state in seen:
        is_late = state is not None and state.updated_us > sweep.at_us
        if before != (state, sweep.day):
            document = None if state is None else _document(instance, state, sweep.at_us, tells_updates)
            yield number, sweep, document
        before = None if is_late else (state, sweep.day)


def history(seen: Iterable[tuple[int, Sweep, Row | None]]) -> Iterator[Row]:
    """The rows of one instance, of its documents: new, changed, the first of a day, and gone."""
    last: Row | None = None
    day = -1
    for number, sweep, document in seen:
        if document is None:
            if last is not None:
                yield last | of_sweep(number, sweep) | {"change": "gone"}
            last = None
            continue
        change = "new" if last is None else "keyframe" if day < sweep.day else None
        if last is not None and any(last[name] != value for name, value in document.items()):
            change = "changed"
        if change:
            last, day = {**of_sweep(number, sweep), **document, "change": change}, sweep.day
            yield last


def _document(instance: Instance, state: State, now_us: int, tells_updates: bool) -> Row:
    fixed, stop_us = instance.fixed, state.stop_us
    seconds = state.auto_stop_seconds or None
    updated_us = min(state.updated_us, now_us) // 1000 * 1000
    return {
        "instance_id": instance.instance_id,
        "name": state.name,
        "description": fixed.description or None,
        "status": state.status,
        "created_at": instant(instance.created_us),
        "updated_at": instant(updated_us if tells_updates else instance.created_us),
        "stop_at": None if stop_us is None else instant(stop_us),
        "run_started_at": None if stop_us is None else instant(stop_us - (seconds or 0) * SECOND),
        "flavor": state.flavor.name,
        "user_id": fixed.user["id"],
        "pool_id": fixed.pool["id"] if fixed.pool else None,
        "workspace_id": fixed.workspace_id,
        "ai_project_id": fixed.ai_project_id,
        "auto_stop_enabled": seconds is not None,
        "auto_stop_seconds": seconds,
        "error_code": state.failure.code if state.failure else None,
    }


def _queue(instance: Instance, seen: Sequence[tuple[int, Sweep, State | None]]) -> Iterator[Row]:
    """A row at each sweep while it queues, for the time left moves; and one when it left."""
    last: Row | None = None
    for number, sweep, state in seen:
        if state is not None and state.queue_end_us is not None:
            last = {
                **of_sweep(number, sweep),
                "instance_id": instance.instance_id,
                "flavor": state.flavor.name,
                "status": state.status,
                "began_at": instant(state.at_us),
                "ends_at": instant(state.queue_end_us),
                "change": "changed" if last else "new",
            }
            yield last
        elif last is not None:
            yield last | of_sweep(number, sweep) | {"change": "gone"}
            last = None


def _billing(flavor: Any, number: int, sweep: Sweep) -> Row:
    details = flavor.details
    billed_as = details.get("billing_flavor") or None
    return {
        **of_sweep(number, sweep),
        "change": "new",
        "flavor": flavor.name,
        "promo_type": details.get("promo_type"),
        "billing_flavor": billed_as,
        "billing_ratio": details.get("billing_params"),
        "sku": billed_as or flavor.name,
    }


def _flavor(flavor: Any, number: int, sweep: Sweep) -> Row:
    params = flavor.details["params"]
    return {
        **of_sweep(number, sweep),
        "change": "new",
        "flavor": flavor.name,
        "accelerator_count": params.get("NPU", params.get("GPU")),
        "cpu_count": int(params["CPU"]),
        "memory_bytes": int(params["memory"].removesuffix("GiB")) << 30,
    }


def sweep_row(number: int, sweep: Sweep) -> Row:
    """The row of a sweep; one that failed had no answer."""
    observed = None if sweep.verdict == "failed" else instant(sweep.observed_us)
    spans = {"observed_from": observed, "observed_to": observed}
    return {**of_sweep(number, sweep), **spans, "scope": WHOLE, "verdict": sweep.verdict}


def of_sweep(number: int, sweep: Sweep) -> Row:
    """What every row says of the sweep that saw it."""
    observed = instant(sweep.observed_us)
    return {
        "project_id": PROJECT,
        "sweep_id": f"sweep-{number:05d}",
        "observed_at": observed,
        "valid_from": observed,
    }


def instant(instant_us: int) -> datetime:
    """The instant so many microseconds after the epoch."""
    return EPOCH + timedelta(microseconds=instant_us)
