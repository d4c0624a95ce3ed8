"""How a figure came about: the stretches of a day, the sightings on either side, and the price."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import duckdb

from etl import days, marts, prices, views
from etl.errors import UsageError
from etl.lake import Lake
from etl.values import visible

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

PLURALS = {"hour": "hours", "gb_hour": "GB-hours"}

_STRETCHES = """
select
    kind, evidence, from_sweep_id, to_sweep_id, flavor,
    greatest(max_from_us, $from) as from_us, least(max_to_us, $to) as to_us,
    greatest(least(min_to_us, $to) - greatest(min_from_us, $from), 0) as running_us_min,
    greatest(least(to_us, $to) - greatest(from_us, $from), 0) as running_us,
    greatest(least(max_to_us, $to) - greatest(max_from_us, $from), 0) as running_us_max
from stretches
where project_id = $project and instance_id = $instance and max_from_us < $to and max_to_us > $from
    and max_to_us > max_from_us
order by max_from_us, max_to_us
"""

_CHARGES = """
select
    charge, sku, flavor, volume, billing_flavor, billing_ratio, promo_type, is_dedicated, is_waived,
    quantity, unit, unit_price, currency, price_currency, exchange_rate, list_cost,
    billed_cost, billed_cost_min, billed_cost_max, price_id
from cost_daily
where project_id = $project and instance_id = $instance and usage_date = $day
order by charge, sku, volume nulls first, quantity, billed_cost
"""

_SIGHTING = """
select sweep_id, observed_at, change, status, updated_at, run_started_at, stop_at, flavor
from instance_history
where project_id = $project and instance_id = $instance and sweep_id = $sweep
"""


def explain(lake: Lake, instance_id: str, day: date, project_id: str | None = None) -> dict[str, Any]:
    """The running time and cost of an instance on a day of the zone that was built in, piece by piece.

    UsageError where nothing is built or was metered on that day, or where no project or several have such an
    instance.
    """
    lake.check()
    built = marts.published(lake)
    if built is None:
        raise UsageError("nothing is built yet: run `demeter build` first")
    zone = days.zone(built.tz)
    begin, end = days.begins_us(day, zone), days.begins_us(day + timedelta(1), zone)
    connection = views.unlocked(lake)
    project_id, name = _whose(connection, instance_id, project_id)
    of = {"project": project_id, "instance": instance_id}
    metered_seconds = _metered(connection, project_id, day)
    found = _rows(connection, _STRETCHES, **of, **{"from": begin, "to": end})
    pieces = [_piece(connection, of, row) for row in found]
    return {
        "project_id": project_id,
        "instance_id": instance_id,
        "name": name,
        "usage_date": day.isoformat(),
        "time_zone": built.tz,
        "day_seconds": Decimal(end - begin) / 1_000_000,
        "metered_seconds": metered_seconds,
        "running_seconds_min": _sum(pieces, "running_seconds_min"),
        "running_seconds": _sum(pieces, "running_seconds"),
        "running_seconds_max": _sum(pieces, "running_seconds_max"),
        "stretches": pieces,
        "cost": _cost(connection, lake, of, day),
    }


def _whose(
    connection: duckdb.DuckDBPyConnection, instance_id: str, project_id: str | None
) -> tuple[str, str | None]:
    """The project of an instance, and the name that it had last."""
    seen = connection.execute(
        "select project_id, max_by(name, observed_at) from instance_history where instance_id = $1 "
        "group by project_id order by project_id",
        [instance_id],
    ).fetchall()
    found = [each for each in seen if project_id in (None, each[0])]
    if not found:
        where = f" in project {project_id}" if project_id else ""
        raise UsageError(f"no instance {instance_id} was ever seen{where}: `demeter sql` lists `instances`")
    if len(found) > 1:
        projects = ", ".join(project for project, _ in found)
        raise UsageError(f"{instance_id} is in several projects: give --project-id with one of {projects}")
    project, name = found[0]
    return project, name


def _metered(connection: duckdb.DuckDBPyConnection, project_id: str, day: date) -> Decimal:
    """How long of a day was metered; UsageError where nothing was, for then nothing is known of it."""
    found = connection.execute(
        "select usage_date, metered_seconds from coverage where project_id = $1 order by usage_date",
        [project_id],
    ).fetchall()
    seconds = dict(found).get(day)
    if seconds is None:
        known = f" from {found[0][0]} to {found[-1][0]}" if found else ""
        raise UsageError(f"nothing was metered on {day}, so nothing is known of it: name a day{known}")
    return Decimal(seconds)


def lines(found: dict[str, Any]) -> list[str]:
    """The explanation for people, a line each."""
    said = [
        f"{found['name'] or found['instance_id']} on {found['usage_date']} ({found['time_zone']})",
        f"ran {_hours(found['running_seconds'])}: at least {_hours(found['running_seconds_min'])}, "
        f"at most {_hours(found['running_seconds_max'])}",
    ]
    if found["metered_seconds"] < found["day_seconds"]:
        said.append(f"only {_hours(found['metered_seconds'])} of this day were metered")
    for piece in found["stretches"]:
        said += ["", f"{_clock(piece['from'])} to {_clock(piece['to'])}: {_hours(piece['running_seconds'])}"]
        if piece["running_seconds_min"] != piece["running_seconds_max"]:
            said[-1] += (
                f" (from {_hours(piece['running_seconds_min'])} to {_hours(piece['running_seconds_max'])})"
            )
        said.append(f"    {piece['rule']}")
        said += [f"    {name}: {_seen(piece[name])}" for name in ("before", "after") if piece[name]]
    for row in found["cost"]:
        said += ["", *_arithmetic(row)]
    return [visible(line) for line in said]


def _piece(connection: duckdb.DuckDBPyConnection, of: dict[str, str], row: dict[str, Any]) -> dict[str, Any]:
    """One stretch of the day, with the sightings that it rests on."""
    before, after = (
        next(iter(_rows(connection, _SIGHTING, **of, sweep=row[sweep])), None)
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


def _cost(
    connection: duckdb.DuckDBPyConnection, lake: Lake, of: dict[str, str], day: date
) -> list[dict[str, Any]]:
    """The rows of cost_daily behind the day's cost, each with its row of the price book."""
    book = {row["price_id"]: row for row in prices.load(lake.root).to_pylist()}
    charged = _rows(connection, _CHARGES, **of, day=day)
    return [{**row, "price": book.get(row["price_id"])} for row in charged]


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
    state = sighting["change"] if sighting["change"] in ("gone", "unlisted", "unread") else sighting["status"]
    return f"{state} at {_clock(sighting['observed_at'])} ({', '.join(told)}), sweep {sighting['sweep_id']}"


def _arithmetic(row: dict[str, Any]) -> list[str]:
    """How one charge was worked out, and the row of the price book that it was worked out with."""
    what = f"{row['charge']} {row['sku'] or 'of an unknown flavor'}" + (
        f", volume {row['volume']}" if row["volume"] else ""
    )
    quantity = f"{_exact(row['quantity'])} {PLURALS[row['unit']]}"
    if row["billing_flavor"] and row["billing_ratio"]:
        quantity += f" ({row['flavor']} counts as {row['billing_ratio']})"
    if row["unit_price"] is None:
        return [f"{what}: {quantity}, no price: the cost is not known"]
    price, currency = _exact(row["unit_price"]), row["currency"]
    said = [f"{what}: {quantity} x {price} {currency} = {_exact(row['list_cost'])} {currency} list"]
    why = " as its flavor is free" if _is_free(row) else " as its dedicated pool is billed as a whole"
    billed = (
        f"0{why}"
        if row["is_waived"]
        else f"{_exact(row['billed_cost'])}: at least {_exact(row['billed_cost_min'])}, "
        f"at most {_exact(row['billed_cost_max'])}"
    )
    return [*said, f"    billed {billed}", *([_priced_by(row)] if row["price"] else [])]


def _is_free(row: dict[str, Any]) -> bool:
    return str(row["promo_type"]).lower() == "free"


def _priced_by(row: dict[str, Any]) -> str:
    """The row of the price book behind a charge, in words."""
    price = row["price"]
    since = f"from {price['valid_from']}" if price["valid_from"] else "from the beginning"
    until = f"until before {price['valid_to']}" if price["valid_to"] else "on"
    said = (
        f"    price {price['price_id']}: {price['sku']} in {price['region'] or 'any region'}, "
        f"{_exact(price['unit_price'])} {price['currency']} per {price['unit']} {since} {until}"
    )
    if row["price_currency"] != row["currency"]:
        return f"{said}, {_exact(row['exchange_rate'])} {row['currency']} per {row['price_currency']}"
    return said


def _exact(number: Decimal) -> str:
    """A number to its last digit, without the zeros behind that."""
    return f"{number.normalize():f}"
