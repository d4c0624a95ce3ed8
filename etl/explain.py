"""How a figure came about: the stretches of a day, the sightings on either side, and the price."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import duckdb

from etl import days, marts, views
from etl.errors import UsageError
from etl.lake import Lake
from etl.render import visible

# What each kind of evidence says about a stretch; the contract's table of rules in words.
RULES = {
    ("seen", "none"): "it was seen running, and no complete sweep until then saw it otherwise",
    ("unbroken", "none"): "it ran at both sightings and nothing says that it stopped in between",
    ("restarted", "run_started_at"): "it ran at both sightings, but this run began in between",
    ("restarted", "updated_at"): "it ran at both sightings, but was modified in between",
    ("restarted", "midpoint"): "it ran at both sightings, but not the same run",
    ("started", "run_started_at"): "stop_at less the auto-stop time is when it started",
    ("started", "updated_at"): "it was modified in between: taken as the start",
    ("started", "usual_length"): "it is as long after its start began as starts usually take",
    ("started", "midpoint"): "nothing says when it started: the middle is taken",
    ("stopped", "updated_at"): "it was modified in between: taken as the stop",
    ("stopped", "stop_at"): "it was due to be stopped in between: taken as the stop",
    ("stopped", "usual_length"): "it is as long before it had stopped as stops usually take",
    ("stopped", "midpoint"): "nothing says when it stopped: the middle is taken",
    ("unseen", "none"): "it did not run at either sighting, but may have in between",
    ("unseen", "updated_at"): "it did not run at either sighting, but was modified in between",
    ("unseen", "usual_length"): "it did not run at either sighting, but by the usual lengths did between",
    ("unseen", "midpoint"): "it did not run at either sighting, but changed in between",
}

_STRETCHES = """
select
    kind, evidence, from_sweep_id, to_sweep_id, flavor,
    greatest(max_from_us, $from) as from_us, least(max_to_us, $to) as to_us,
    greatest(least(min_to_us, $to) - greatest(min_from_us, $from), 0) as running_us_min,
    greatest(least(to_us, $to) - greatest(from_us, $from), 0) as running_us,
    greatest(least(max_to_us, $to) - greatest(max_from_us, $from), 0) as running_us_max
from stretches
where instance_id = $instance and max_from_us < $to and max_to_us > $from
    and max_to_us > max_from_us
order by max_from_us, max_to_us
"""

_SIGHTING = """
select sweep_id, observed_at, change, status, updated_at, run_started_at, stop_at, flavor
from instance_history
where instance_id = $instance and sweep_id = $sweep
"""


def explain(lake: Lake, instance_id: str, day: date) -> dict[str, Any]:
    """The running time and cost of an instance on a day of the zone that was built in, piece by piece."""
    lake.check()
    built = marts.published(lake)
    if built is None:
        raise UsageError("nothing is built yet: run `demeter build` first")
    zone = days.zone(built.tz)
    begin, end = days.begins_us(day, zone), days.begins_us(day + timedelta(1), zone)
    connection = views.unlocked(lake)
    names = connection.execute(
        "select name from instance_history where instance_id = $1 order by observed_at", [instance_id]
    ).fetchall()
    if not names:
        raise UsageError(f"no instance {instance_id} was ever seen: `demeter sql` lists `instances`")
    found = _rows(connection, _STRETCHES, instance=instance_id, **{"from": begin, "to": end})
    pieces = [_piece(connection, instance_id, row) for row in found]
    return {
        "instance_id": instance_id,
        "name": names[-1][0],
        "usage_date": day.isoformat(),
        "time_zone": built.tz,
        "running_seconds_min": _sum(pieces, "running_seconds_min"),
        "running_seconds": _sum(pieces, "running_seconds"),
        "running_seconds_max": _sum(pieces, "running_seconds_max"),
        "stretches": pieces,
        "cost": _cost(connection, instance_id, day),
    }


def lines(found: dict[str, Any]) -> list[str]:
    """The explanation for people, a line each."""
    said = [
        f"{found['name'] or found['instance_id']} on {found['usage_date']} ({found['time_zone']})",
        f"ran {_hours(found['running_seconds'])}: at least {_hours(found['running_seconds_min'])}, "
        f"at most {_hours(found['running_seconds_max'])}",
    ]
    for piece in found["stretches"]:
        said += ["", f"{_clock(piece['from'])} to {_clock(piece['to'])}: {_hours(piece['running_seconds'])}"]
        if piece["running_seconds_min"] != piece["running_seconds_max"]:
            said[-1] += (
                f" (from {_hours(piece['running_seconds_min'])} to {_hours(piece['running_seconds_max'])})"
            )
        said.append(f"    {piece['rule']}")
        said += [f"    {name}: {_seen(piece[name])}" for name in ("before", "after") if piece[name]]
    for row in found["cost"]:
        said += ["", _arithmetic(row)]
    return [visible(line) for line in said]


def _piece(connection: duckdb.DuckDBPyConnection, instance_id: str, row: dict[str, Any]) -> dict[str, Any]:
    """One stretch of the day, with the sightings that it rests on."""
    before, after = (
        next(iter(_rows(connection, _SIGHTING, instance=instance_id, sweep=row[sweep])), None)
        for sweep in ("from_sweep_id", "to_sweep_id")
    )
    return {
        "from": _instant(row["from_us"]),
        "to": _instant(row["to_us"]),
        "kind": row["kind"],
        "evidence": row["evidence"],
        "rule": RULES.get((row["kind"], row["evidence"]), f"{row['kind']}, by {row['evidence']}"),
        "running_seconds_min": Decimal(row["running_us_min"]) / 1_000_000,
        "running_seconds": Decimal(row["running_us"]) / 1_000_000,
        "running_seconds_max": Decimal(row["running_us_max"]) / 1_000_000,
        "before": before,
        "after": after if after != before else None,
    }


def _cost(connection: duckdb.DuckDBPyConnection, instance_id: str, day: date) -> list[dict[str, Any]]:
    """The rows of cost_daily behind the day's cost; none where no price book was built in."""
    exists = "select 1 from information_schema.tables where table_name = 'cost_daily'"
    if not connection.execute(exists).fetchall():
        return []
    query = (
        "select charge, sku, quantity, unit, unit_price, currency, list_cost, billed_cost, "
        "billed_cost_min, billed_cost_max, price_id from cost_daily "
        "where instance_id = $instance and usage_date = $day order by charge, sku, quantity"
    )
    return _rows(connection, query, instance=instance_id, day=day)


def _rows(connection: duckdb.DuckDBPyConnection, query: str, **values: Any) -> list[dict[str, Any]]:
    result = connection.execute(query, values)
    names = [column[0] for column in result.description or ()]
    return [dict(zip(names, row, strict=True)) for row in result.fetchall()]


def _sum(pieces: list[dict[str, Any]], name: str) -> Decimal:
    return sum((piece[name] for piece in pieces), Decimal(0))


def _instant(instant_us: int) -> datetime:
    return days.EPOCH + timedelta(microseconds=instant_us)


def _clock(instant: datetime) -> str:
    return f"{instant.astimezone(UTC):%Y-%m-%d %H:%M:%SZ}"


def _hours(seconds: Decimal) -> str:
    """A length of time for people, to the second."""
    whole = int(seconds.to_integral_value())
    return f"{whole // 3600}:{whole // 60 % 60:02}:{whole % 60:02}"


def _seen(sighting: dict[str, Any]) -> str:
    """A sighting in a line: when, in which state, and the times that it told."""
    told = [
        f"{name} {_clock(sighting[name])}"
        for name in ("updated_at", "run_started_at", "stop_at")
        if sighting[name]
    ]
    state = "gone" if sighting["change"] == "gone" else sighting["status"]
    return f"{state} at {_clock(sighting['observed_at'])} ({', '.join(told)}), sweep {sighting['sweep_id']}"


def _arithmetic(row: dict[str, Any]) -> str:
    """How one charge was worked out."""
    if row["unit_price"] is None:
        return f"{row['charge']} {row['sku']}: {row['quantity']} {row['unit']}, no price in the price book"
    return (
        f"{row['charge']} {row['sku']}: {row['quantity']} {row['unit']} x {row['unit_price']} "
        f"{row['currency']} = {row['list_cost']} list, {row['billed_cost']} billed "
        f"({row['billed_cost_min']} to {row['billed_cost_max']}), price {row['price_id']}"
    )
