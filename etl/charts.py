"""The charts that go with a report: what people would rather look at than read."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from etl import svg
from etl.markup import cut, escaped
from etl.svg import Number, Point
from etl.texts import Texts

if TYPE_CHECKING:
    import pyarrow as pa

Row = dict[str, Any]

MOST_BARS = 12
MOST_USERS = 6
WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
PERCENTILES = ("p50", "p90", "p99")
# What a row of a breakdown is called: the first of these that it has.
NAMES = (
    *("user_name", "user_id", "pool_name", "pool_id", "name", "instance_id", "workspace_id", "ai_project_id"),
    *("flavor", "sku", "status", "kind", "reason", "code", "message", "project_id"),
)


@dataclass(frozen=True)
class Drawn:
    """A chart with its caption; small ones stand beside each other."""

    caption: str
    shapes: str
    is_small: bool = False

    def __str__(self) -> str:
        return f"<figure><figcaption>{escaped(self.caption)}</figcaption>{self.shapes}</figure>"


def of(name: str, answer: pa.Table, texts: Texts) -> str:
    """The charts of a report as HTML; empty where it has none, or nothing to draw."""
    chart = CHARTS.get(name) or (_breakdown if name.startswith("usage_by_") else None)
    chart = chart or (_counts("chart_status") if name.startswith("inventory_by_") else None)
    if chart is None or not answer.num_rows:
        return ""
    drawn = list(chart(answer.to_pylist(), texts))
    small = " small" if drawn and drawn[0].is_small else ""
    return f'<div class="charts{small}">{"".join(map(str, drawn))}</div>' if drawn else ""


def by_day(rows: Sequence[Row], texts: Texts, width: int = svg.WIDTH) -> Iterable[Drawn]:
    """What each day cost, and how long instances ran on it, with bounds."""
    for measure, key in (("billed_cost", "chart_cost_by_day"), ("running_hours", "chart_hours_by_day")):
        points = _daily(rows, measure)
        if any(point.value for point in points):
            caption = _with_currency(texts(key), rows, measure)
            yield Drawn(caption, svg.band(points, caption, width=width))


def spenders(
    rows: Sequence[Row], texts: Texts, most: int = MOST_BARS, width: int = svg.WIDTH
) -> Drawn | None:
    """What each costs, with bounds, or how long each ran where nothing has a price."""
    measure = "billed_cost" if any(row["billed_cost"] for row in rows) else "running_hours"
    keys = {"billed_cost": "chart_cost_by", "running_hours": "chart_hours_by"}
    return _bars(rows, measure, keys[measure], texts, most, width)


def _bars(
    rows: Sequence[Row],
    measure: str,
    key: str,
    texts: Texts,
    most: int = MOST_BARS,
    width: int = svg.WIDTH,
) -> Drawn | None:
    """The largest rows as bars; what has no price comes last, and says so."""
    known = sorted((row for row in rows if row[measure]), key=lambda row: -row[measure])
    shown = [*known, *(row for row in rows if row[measure] is None and row.get("unpriced_hours"))][:most]
    if not known:
        return None
    points = [
        Point(name, *_bounded(row, measure)) for name, row in zip(_told(shown, texts), shown, strict=True)
    ]
    caption = _with_currency(texts(key), rows, measure)
    rest = sum(1 for row in rows if row[measure]) - sum(1 for row in shown if row[measure])
    if rest > 0:
        caption = f"{caption}. {texts('others', count=f'{rest:,}')}"
    return Drawn(caption, svg.bars(points, caption, absent=texts("unpriced"), width=width))


def _told(rows: Sequence[Row], texts: Texts) -> list[str]:
    """What the rows are called; with their project, where they are of several."""
    names = [called(row, texts) for row in rows]
    if len({row.get("project_id") for row in rows}) < 2 or len(set(names)) == len(names):
        return names
    return [f"{name} · {str(row['project_id'])[:8]}" for name, row in zip(names, rows, strict=True)]


def called(row: Row, texts: Texts) -> str:
    """What a row is called: by the first of its names that it has."""
    for name in NAMES:
        if row.get(name) is not None:
            return str(row[name])
        if name == "user_id" and "user_id" in row:
            return texts("without_user")
        if name in ("pool_id", "workspace_id", "ai_project_id", "flavor", "sku", "status") and name in row:
            return texts("none")
    return texts("none")


def _breakdown(rows: Sequence[Row], texts: Texts) -> Iterable[Drawn]:
    return filter(None, [spenders(rows, texts)])


def _counts(key: str, measure: str = "instance_count") -> Callable[[Sequence[Row], Texts], Iterable[Drawn]]:
    return lambda rows, texts: filter(None, [_bars(rows, measure, key, texts)])


def _per_user(rows: Sequence[Row], texts: Texts) -> Iterable[Drawn]:
    """The days of those who cost most, each by itself and all on the same days."""
    days = sorted({row["usage_date"] for row in rows})
    users: dict[tuple[Any, Any], list[Row]] = defaultdict(list)
    for row in rows:
        users[row["project_id"], row["user_id"]].append(row)
    measure = "billed_cost" if any(row["billed_cost"] for row in rows) else "running_hours"
    totals = {user: _total(theirs, measure) or Decimal(0) for user, theirs in users.items()}
    for user in sorted(users, key=lambda user: (-totals[user], str(user)))[:MOST_USERS]:
        caption = _with_currency(called(users[user][0], texts), rows, measure)
        points = _daily(users[user], measure, days, absent=Decimal(0))
        told = f"{texts('chart_users_by_day')}: {caption}"
        yield Drawn(cut(caption, 60), svg.band(points, told, width=360, height=140), is_small=True)


def _week(rows: Sequence[Row], texts: Texts) -> Iterable[Drawn]:
    """How many instances ran in the mean, by weekday and hour: over all such hours of the period."""
    days = {row["usage_date"] for row in rows}
    hours: dict[tuple[int, int], Decimal] = defaultdict(Decimal)
    for row in rows:
        hours[row["usage_date"].weekday(), row["hour_of_day"]] += row["running_hours"]
    counts = [sum(1 for day in days if day.weekday() == weekday) for weekday in range(7)]
    means: list[list[Number | None]] = [
        [hours[weekday, hour] / counts[weekday] if counts[weekday] else None for hour in range(24)]
        for weekday in range(7)
    ]
    known = [value for line in means for value in line if value is not None]
    caption = f"{texts('chart_week')} ({svg.short(min(known))} – {svg.short(max(known))})"
    labels = [f"{hour:02}" for hour in range(24)]
    yield Drawn(caption, svg.heat([texts(day) for day in WEEKDAYS], labels, means, caption))


def _hours_of_day(rows: Sequence[Row], texts: Texts) -> Iterable[Drawn]:
    found = {hour: [row for row in rows if row["hour_of_day"] == hour] for hour in range(24)}
    points = [
        Point(f"{hour:02}", *_sums(theirs, "running_hours", Decimal(0))) for hour, theirs in found.items()
    ]
    caption = texts("chart_hours_by")
    yield Drawn(caption, svg.band(points, caption))


def _concurrency(rows: Sequence[Row], texts: Texts) -> Iterable[Drawn]:
    kinds = (
        ("instances", "instance", "chart_concurrency"),
        ("accelerators", "accelerator", "chart_concurrency_cards"),
    )
    days = sorted({row["usage_date"] for row in rows})
    for plural, singular, key in kinds:
        # The peaks of several projects need not be at the same time: each project has its own lines.
        for project in sorted({row["project_id"] for row in rows})[:MOST_USERS]:
            found = {row["usage_date"]: row for row in rows if row["project_id"] == project}
            series = [
                (texts("peak"), [found.get(day, {}).get(f"peak_{singular}_count") for day in days]),
                (texts("mean"), [found.get(day, {}).get(f"mean_running_{plural}") for day in days]),
            ]
            several = len({row["project_id"] for row in rows}) > 1
            caption = texts(key) + (f" ({project})" if several else "")
            yield Drawn(caption, svg.lines([day.isoformat() for day in days], series, caption))


def _pools(rows: Sequence[Row], texts: Texts) -> Iterable[Drawn]:
    kind = "accelerators" if any(row["peak_running_accelerators"] for row in rows) else "instances"
    points = [
        Point(called(row, texts), row[f"mean_running_{kind}"], None, row[f"peak_running_{kind}"])
        for row in rows[:MOST_BARS]
    ]
    caption = f"{texts('chart_pools')} ({texts.column(f'mean_running_{kind}')})"
    yield Drawn(caption, svg.bars(points, caption, outline=True))


def _percentiles(prefix: str, key: str) -> Callable[[Sequence[Row], Texts], Iterable[Drawn]]:
    def draw(rows: Sequence[Row], texts: Texts) -> Iterable[Drawn]:
        found = [
            (called({"flavor": row["flavor"]}, texts), [row[f"{prefix}_{each}"] for each in PERCENTILES])
            for row in rows
            if row[f"{prefix}_p50"] is not None
        ][:MOST_BARS]
        if found:
            names = [texts(each) for each in PERCENTILES]
            yield Drawn(texts(key), svg.ranges(found, names, texts(key)))

    return draw


def _quality(rows: Sequence[Row], texts: Texts) -> Iterable[Drawn]:
    days = sorted({row["usage_date"] for row in rows})
    for measure, key in (("complete_percent", "chart_complete"), ("bounds_percent", "chart_width")):
        worst = min if measure == "complete_percent" else max
        points = [
            Point(
                day.isoformat(),
                worst(
                    (row[measure] for row in rows if row["usage_date"] == day and row[measure] is not None),
                    default=None,
                ),
            )
            for day in days
        ]
        yield Drawn(texts(key), svg.band(points, texts(key)))


def _daily(
    rows: Sequence[Row], measure: str, days: Sequence[date] = (), absent: Decimal | None = None
) -> list[Point]:
    """A point for each day with the sums of all its rows; a day without a price has none."""
    found: dict[date, list[Row]] = defaultdict(list)
    for row in rows:
        found[row["usage_date"]].append(row)
    return [
        Point(day.isoformat(), *_sums(found[day], measure, None if found[day] else absent))
        for day in days or sorted(found)
    ]


def _sums(rows: Sequence[Row], measure: str, absent: Decimal | None = None) -> tuple[Number | None, ...]:
    value = _total(rows, measure)
    if value is None:
        return absent, absent, absent
    return value, *(_total(rows, f"{measure}_{end}") for end in ("min", "max"))


def _bounded(row: Row, measure: str) -> tuple[Number | None, ...]:
    return row[measure], row.get(f"{measure}_min"), row.get(f"{measure}_max")


def _total(rows: Iterable[Row], column: str) -> Number | None:
    """The sum of what is known; None where nothing is."""
    known = [row[column] for row in rows if row.get(column) is not None]
    return sum(known) if known else None


def _with_currency(caption: str, rows: Sequence[Row], measure: str) -> str:
    currency = next((row["currency"] for row in rows if row.get("currency")), None)
    return f"{caption} ({currency})" if currency and "cost" in measure else caption


CHARTS: dict[str, Callable[[Sequence[Row], Texts], Iterable[Drawn]]] = {
    "usage_by_day": by_day,
    "usage_by_user_and_day": _per_user,
    "usage_by_hour": _week,
    "usage_by_hour_of_day": _hours_of_day,
    "top_spenders": _breakdown,
    "concurrency_peak": _concurrency,
    "pool_utilisation": _pools,
    "queue_waits": _percentiles("waited_minutes", "chart_waits"),
    "start_latency": _percentiles("latency_seconds", "chart_latency"),
    "failures_by_reason": _counts("chart_failures"),
    "data_quality": _quality,
    "savings": _counts("chart_save", "saved_cost"),
    "free_against_paid": _counts("chart_paid", "running_hours"),
    "forgotten": _counts("chart_waste_days", "billed_cost_per_day"),
    "stopped_but_kept": _counts("chart_waste_days", "billed_cost_per_day"),
}
