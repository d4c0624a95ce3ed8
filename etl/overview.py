"""The first screen of an edition: what it cost, who used it, what to do, what changed, how sure that is."""

from __future__ import annotations

import calendar
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from etl import charts
from etl.markup import cut, escaped, number
from etl.texts import Texts

if TYPE_CHECKING:
    import pyarrow as pa

Row = dict[str, Any]
# The answer of a report by its name, and by a number of hours where it takes one.
Answers = Callable[..., "pa.Table | None"]

DAYS_A_MONTH = 30
MOST_SPENDERS = 5
MOST_MOVERS = 4
MOST_DEAREST = 3
# From where on a reader should look at what a figure rests on.
ENOUGH_COMPLETE = 99
ENOUGH_METERED_PERCENT = 99
LARGEST_GAP_HOURS = 2
WIDEST_BOUNDS_PERCENT = 20
MOST_MIDPOINTS_PERCENT = 5
LONGEST_NAME = 40
# Charts in a card are drawn for the width that a card has.
CARD_WIDTH = 540


@dataclass(frozen=True)
class Waste:
    """What could be stopped today: how many, what they cost a month, and how many of unknown cost."""

    kind: str
    report: str
    count: int
    cost: Decimal
    unknown_count: int


@dataclass(frozen=True)
class Facts:
    """The rows that the first screen is made of, by the report that they answer."""

    hours: str
    day_count: int
    summary: Row
    days: list[Row]
    spenders: list[Row]
    budget: list[Row]
    forgotten: list[Row]
    running: list[Row]
    without_auto_stop: list[Row]
    kept: list[Row]
    compared: list[Row]
    users: list[Row]
    users_before: list[Row]
    unread: list[Row]


def facts(answers: Answers, before: Answers, hours: str, day_count: int) -> Facts:
    """Gather those of so many days; `before` answers for the period before, and is asked only where that was
    metered."""
    compared = _rows(answers("period_over_period"))
    was_metered = any(row["metered_days_before"] for row in compared)
    return Facts(
        hours,
        day_count,
        _rows(answers("summary"))[0],
        _rows(answers("usage_by_day")),
        _rows(answers("top_spenders")),
        _rows(answers("budget")),
        _rows(answers("forgotten", hours)),
        _rows(answers("forgotten", "0")),
        _rows(answers("running_without_auto_stop")),
        _rows(answers("stopped_but_kept")),
        compared,
        _rows(answers("usage_by_user")),
        _rows(before("usage_by_user")) if was_metered else [],
        _rows(answers("quarantine_by_reason")),
    )


def _rows(answer: pa.Table | None) -> list[Row]:
    return [] if answer is None else answer.to_pylist()


def html(known: Facts, texts: Texts, linked: frozenset[str]) -> str:
    """The cards; `linked` are the reports that the page has."""
    cards = (
        _card("wide", texts("glance_cost"), _cost(known, texts, linked)),
        _card("narrow", texts("glance_act"), _act(known, texts, linked)),
        _card("wide", texts("glance_who"), _who(known, texts, linked)),
        _card("narrow", texts("glance_trust"), _trust(known, texts, linked)),
        _card("all", texts("glance_changed"), _changed(known, texts, linked)),
    )
    label = escaped(texts("glance"))
    return f'<section aria-label="{label}" id="glance"><div class="cards">{"".join(cards)}</div></section>'


def _card(kind: str, title: str, pieces: Iterable[str]) -> str:
    return f'<div class="card {kind}"><h2>{escaped(title)}</h2>{"".join(pieces)}</div>'


def _line(text: str, kind: str = "") -> str:
    attribute = f' class="{kind}"' if kind else ""
    return f"<p{attribute}>{escaped(text)}</p>"


def _more(report: str, texts: Texts, linked: frozenset[str]) -> str:
    """A link to a report, where the page has it."""
    if report not in linked:
        return ""
    label = f"{texts('see_all')}: {texts.title(report)}"
    return f'<p class="more"><a href="#{report}">{escaped(label)}</a></p>'


def _money(value: Any, currency: str | None) -> str:
    return f"{number(value, 2)} {currency or ''}".strip()


def _total(found: Sequence[Any]) -> Decimal | None:
    known = [value for value in found if value is not None]
    return sum(known, Decimal(0)) if known else None


def _cost(known: Facts, texts: Texts, linked: frozenset[str]) -> Iterator[str]:
    """The total with its bounds, what is not in it, where the month ends, and the trend."""
    whole = known.summary
    currency, pools = whole["currency"], whole["pool_cost"]
    total = _total([whole["billed_cost"], pools])
    if total is None:
        yield _line(texts("unpriced_all") if whole["unpriced_hours"] else texts("nobody"), "warn")
    else:
        low, high = (_total([whole[f"billed_cost_{end}"], pools]) for end in ("min", "max"))
        yield f'<p class="big">{number(total, 2)} <small>{escaped(currency or "")}</small></p>'
        if low is not None and high is not None and low != high:
            yield _line(texts("between", low=number(low, 2), high=_money(high, currency)), "soft")
        facts = [texts("of_pools", cost=_money(pools, currency))] if pools else []
        facts += (
            [texts("of_saved", cost=_money(whole["saved_cost"], currency))] if whole["saved_cost"] else []
        )
        yield from (_line(fact, "soft") for fact in facts)
        yield from _unpriced(whole, texts)
        yield from _month(known.budget, texts)
    yield from (str(drawn) for drawn in list(charts.by_day(known.days, texts, CARD_WIDTH))[:1])
    yield _more("usage_by_day", texts, linked)


def _unpriced(whole: Row, texts: Texts) -> Iterator[str]:
    if whole["unpriced_hours"]:
        percent = number(whole["unpriced_percent"] or 0, 1)
        yield _line(texts("unpriced_part", hours=number(whole["unpriced_hours"], 1), percent=percent), "warn")
    if whole["unpriced_gb_hours"]:
        yield _line(texts("unpriced_disks", hours=number(whole["unpriced_gb_hours"], 1)), "warn")


def _month(budget: Sequence[Row], texts: Texts) -> Iterator[str]:
    """What the month has cost, and where it ends at this rate."""
    for found in budget:
        if found["month_end_cost"] is None:
            continue
        money = {name: _money(found[name], found["currency"]) for name in ("cost", "month_end_cost")}
        month = f"{found['month_from']:%Y-%m}"
        yield _line(
            texts("month_so_far", month=month, cost=money["cost"], end=money["month_end_cost"]), "soft"
        )
        days, past = _metered(found["metered_days"], found["project_count"]), _past_days(found)
        if not _is_enough(days, past):
            told = texts("month_metered", metered=number(days, 1), past=number(past, 1))
            yield _line(told, "warn")
        over = found["month_end_over_budget"]
        if over is not None:
            most = _money(found["budget"], found["currency"])
            told = texts("month_over", cost=_money(over, found["currency"]), budget=most)
            yield _line(
                told if over > 0 else texts("month_within", budget=most), "warn" if over > 0 else "soft"
            )


def _metered(days: float | None, project_count: int) -> float:
    """How many days were metered of each project, in the mean."""
    return float(days or 0) / max(project_count, 1)


def _is_enough(metered_days: float, days: float) -> bool:
    return 100 * metered_days >= ENOUGH_METERED_PERCENT * days


def _past_days(budget: Row) -> float:
    """How many days of the month there were before the end of what was metered."""
    first = budget["month_from"]
    return calendar.monthrange(first.year, first.month)[1] - float(budget["open_days"])


def _who(known: Facts, texts: Texts, linked: frozenset[str]) -> Iterator[str]:
    """How much was used by how many, and those who cost most."""
    whole = known.summary
    used = [texts("used_by", instances=number(whole["instance_count"]), users=number(whole["user_count"]))]
    used.append(texts("used_hours", hours=number(whole["running_hours"], 0)))
    if whole["accelerator_hours"]:
        used.append(texts("used_accelerators", hours=number(whole["accelerator_hours"], 0)))
    yield _line(" · ".join(used), "soft")
    drawn = charts.spenders(known.spenders, texts, MOST_SPENDERS, CARD_WIDTH)
    yield str(drawn) if drawn else _line(texts("nobody"), "empty")
    yield _more("top_spenders", texts, linked)


def wastes(known: Facts) -> list[Waste]:
    """What runs too long, what nothing will stop, disks of what is stopped; and all of it, each once."""
    forgotten = _keys(known.forgotten)
    without = _keys(known.without_auto_stop)
    running = {_key(row): row["billed_cost_per_day"] for row in known.running}
    disks = {_key(row): row["billed_cost_per_day"] for row in known.kept}
    return [
        _waste("waste_forgotten", "forgotten", {key: running.get(key) for key in forgotten}),
        _waste(
            "waste_without_auto_stop", "running_without_auto_stop", {key: running.get(key) for key in without}
        ),
        _waste("waste_disks", "stopped_but_kept", disks),
        _waste("all", "", {key: running.get(key) for key in forgotten | without} | disks),
    ]


def _waste(kind: str, report: str, costs: dict[tuple[Any, ...], Decimal | None]) -> Waste:
    known = [cost for cost in costs.values() if cost is not None]
    return Waste(kind, report, len(costs), DAYS_A_MONTH * sum(known, Decimal(0)), len(costs) - len(known))


def _key(row: Row) -> tuple[Any, ...]:
    return row["project_id"], row["instance_id"]


def _keys(found: Iterable[Row]) -> set[tuple[Any, ...]]:
    return {_key(row) for row in found}


def _act(known: Facts, texts: Texts, linked: frozenset[str]) -> Iterator[str]:
    """What could be stopped today, and what that saves in a month."""
    *kinds, every = wastes(known)
    if not every.count:
        yield _line(texts("waste_none"))
        return
    priced = (row["currency"] for row in (*known.running, *known.kept) if row["currency"])
    currency = next(priced, known.summary["currency"])
    if every.unknown_count < every.count:
        yield f'<p class="big">{number(every.cost, 2)} <small>{escaped(currency or "")}</small></p>'
        yield _line(texts("save_a_month"), "soft")
    else:
        yield _line(texts("save_unknown"), "warn")
    yield '<ul class="facts">'
    for kind in kinds:
        shown = escaped(texts(kind.kind, hours=known.hours))
        if kind.report in linked and kind.count:
            shown = f'<a href="#{kind.report}">{shown}</a>'
        told = escaped(" · ".join(_counted(kind, texts)))
        is_known = kind.unknown_count < kind.count or not kind.count
        cost = escaped(_money(kind.cost, currency)) if is_known else escaped(texts("unpriced"))
        yield f'<li><span>{shown}<small>{told}</small></span><span class="n">{cost}</span></li>'
    yield "</ul>"
    yield from _dearest(known, currency, texts)
    yield _line(texts("save_note"), "more")


def _dearest(known: Facts, currency: str | None, texts: Texts) -> Iterator[str]:
    """The instances that would save most, with whose they are."""
    to_stop = _keys(known.forgotten) | _keys(known.without_auto_stop)
    stoppable = [row for row in known.running if _key(row) in to_stop]
    found = [row for row in (*stoppable, *known.kept) if row["billed_cost_per_day"]]
    found.sort(key=lambda row: (-row["billed_cost_per_day"], row["project_id"], row["instance_id"]))
    if not found:
        return
    yield f'<h3>{escaped(texts("dearest"))}</h3><ul class="facts">'
    for row in found[:MOST_DEAREST]:
        name = escaped(cut(row["name"] or row["instance_id"], LONGEST_NAME))
        whose = row["user_name"] or row["user_id"] or texts("without_user")
        about = escaped(f"{cut(whose, LONGEST_NAME)} · {cut(row['flavor'] or texts('none'), LONGEST_NAME)}")
        cost = escaped(_money(DAYS_A_MONTH * row["billed_cost_per_day"], currency))
        yield f'<li><span>{name}<small>{about}</small></span><span class="n">{cost}</span></li>'
    yield "</ul>"


def _counted(kind: Waste, texts: Texts) -> Iterator[str]:
    """How many instances there are of a kind of waste, and of how many of them the cost is not known."""
    yield texts("instances", count=number(kind.count))
    if kind.unknown_count:
        yield texts("unpriced_some", count=number(kind.unknown_count))


def _changed(known: Facts, texts: Texts, linked: frozenset[str]) -> Iterator[str]:
    """The figures of the period beside those of the one before it, and who changed most."""
    found = known.compared
    past = [row for row in found if row["metered_days_before"]]
    if not past:
        yield _line(texts("no_before"), "soft")
        return
    now_days, past_days = (
        _total([row[name] for row in found]) for name in ("metered_days", "metered_days_before")
    )
    if now_days is not None and past_days is not None and abs(now_days - past_days) > now_days / 20:
        yield _line(texts("uneven", now=number(now_days, 1), before=number(past_days, 1)), "warn")
    yield (
        '<div class="scroll" role="region" tabindex="0"'
        + f' aria-label="{escaped(texts("glance_changed"))}"><table><thead><tr>'
    )
    heads = (texts.column("measure"), texts("now"), texts("before"), texts("change"))
    yield "".join(
        f'<th scope="col"{" class=n" if place else ""}>{escaped(head)}</th>'
        for place, head in enumerate(heads)
    )
    yield "</tr></thead><tbody>"
    currency = next((row["currency"] for row in found if row["currency"]), None)
    for measure, places in (
        ("billed_cost", 2),
        ("running_hours", 1),
        ("instance_count", 0),
        ("user_count", 0),
    ):
        label = texts.column(measure) + (f" ({currency})" if measure == "billed_cost" and currency else "")
        pair = [_total([row[name] for row in found]) for name in (measure, f"{measure}_before")]
        yield f'<tr><th scope="row">{escaped(label)}</th>{_compared(pair[0], pair[1], places)}</tr>'
    for name, now, past_cost in _movers(known.users, known.users_before, texts):
        label = escaped(f"{texts.column('billed_cost')}: {cut(name, LONGEST_NAME)}")
        yield f'<tr><th scope="row">{label}</th>{_compared(now, past_cost, 2)}</tr>'
    yield f"</tbody></table></div>{_more('period_over_period', texts, linked)}"


def _compared(now: Any, past: Any, places: int) -> str:
    """The cells of a figure, what it was before, and how it changed."""
    cells = ["—" if value is None else number(value, places) for value in (now, past)]
    change = "—"
    if now is not None and past is not None:
        percent = f" ({100 * (float(now) - float(past)) / float(past):+,.1f} %)" if past else ""
        change = f"{'+' if now > past else ''}{number(now - past, places)}{percent}"
    return "".join(f'<td class="n">{cell}</td>' for cell in (*cells, change))


def _movers(now: Sequence[Row], past: Sequence[Row], texts: Texts) -> list[tuple[str, Any, Any]]:
    """The users whose cost changed most: what they are called, their cost, and what it was."""
    found: dict[tuple[Any, Any], list[Any]] = {}
    for place, these in enumerate((now, past)):
        for row in these:
            entry = found.setdefault(
                (row["project_id"], row["user_id"]), [charts.called(row, texts), None, None]
            )
            entry[place + 1] = row["billed_cost"]
    # Who was not there cost nothing; whose cost is not known is not among them.
    known_now, known_past = ({(row["project_id"], row["user_id"]) for row in these} for these in (now, past))
    moved = []
    for key, (name, this, that) in found.items():
        this = this if key in known_now else Decimal(0)
        that = that if key in known_past else Decimal(0)
        if this is not None and that is not None and this != that:
            moved.append((name, this, that))
    return sorted(moved, key=lambda each: (-abs(each[1] - each[2]), each[0]))[:MOST_MOVERS]


def _trust(known: Facts, texts: Texts, linked: frozenset[str]) -> Iterator[str]:
    """What the figures rest on, each good or worth a look."""
    yield '<ul class="facts trust">'
    for is_good, told in _grounds(known, texts):
        kind = "ok" if is_good else "look"
        yield f'<li><span class="badge {kind}">{escaped(texts(kind))}</span><span>{escaped(told)}</span></li>'
    yield f"</ul>{_more('data_quality', texts, linked)}"


def _grounds(known: Facts, texts: Texts) -> Iterator[tuple[bool, str]]:
    whole = known.summary
    metered = _metered(whole["metered_days"], len(known.compared))
    if not _is_enough(metered, known.day_count):
        yield False, texts("trust_metered", metered=number(metered, 1), whole=number(known.day_count))
    complete = whole["complete_percent"]
    if complete is not None:
        # More than are expected is no more than all: the first day has a sweep at each end of its intervals.
        expected = whole["expected_sweep_count"]
        counts = {"complete": min(whole["complete_sweep_count"], expected), "expected": expected}
        share = number(complete, 1)
        yield complete >= ENOUGH_COMPLETE, texts("trust_sweeps", percent=share, **counts)
    broken = {"incomplete": whole["incomplete_sweep_count"], "failed": whole["failed_sweep_count"]}
    if any(broken.values()):
        yield False, texts("trust_sweeps_broken", **broken)
    if (gap := whole["largest_gap_hours"]) is not None:
        yield gap <= LARGEST_GAP_HOURS, texts("trust_gap", hours=number(gap, 2))
    if (width := whole["bounds_percent"]) is not None:
        yield width <= WIDEST_BOUNDS_PERCENT, texts("trust_bounds", percent=number(width, 1))
    if midpoint := whole["midpoint_percent"]:
        yield midpoint <= MOST_MIDPOINTS_PERCENT, texts("trust_midpoint", percent=number(midpoint, 2))
    if whole["unpriced_hours"]:
        yield False, texts("trust_unpriced", percent=number(whole["unpriced_percent"] or 0, 1))
    elif not whole["unpriced_gb_hours"]:
        yield True, texts("trust_priced")
    unread = sum(row["value_count"] for row in known.unread)
    yield not unread, texts("trust_unread", count=number(unread)) if unread else texts("trust_read")
