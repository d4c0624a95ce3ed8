"""A listing that is called complete holds every row that was there from its first page to its last."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import groupby
from math import ceil

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from etl.errors import UsageError
from etl.listing import Outcome, RequestRefused, list_all
from etl.page import Page
from etl.walk import Walk, last_window, window

NOON = datetime(2026, 10, 12, 12, tzinfo=UTC)
CAPS = [1, 2, 3, 5, 50, 100]
ALL_AT_ONCE = 40_000
NEVER_AT_ONCE = 0


class Cut(Exception):
    """The run that lists is killed."""


@dataclass
class Service:
    """A listing of rows in one order, which may change after each answer; None is an unusable id."""

    rows: list[str | None]
    cap: int | None = None
    refuses_above_cap: bool = False
    aligned: bool = False
    numbers_pages: bool = False
    refuses_past_end: bool = False
    ignores_offset: bool = False
    repeats: int = 0
    shuffles: Callable[[Sequence[str | None]], list[str | None]] = list
    total_count: Callable[[int, int], int] = lambda total, listed: total
    empty_answers: list[int] = field(default_factory=list)
    drift: Callable[[Service], None] = lambda service: None
    answers: int = 0
    asked: list[tuple[int, int]] = field(default_factory=list)
    told: list[int] = field(default_factory=list)
    throughout: set[str] = field(default_factory=set)
    born: int = 0

    def __post_init__(self) -> None:
        self.throughout = set(filter(None, self.rows))

    def fetch(self, offset: int, limit: int) -> Page:
        """One answer; afterwards the listing moves."""
        self.asked.append((offset, limit))
        self.throughout &= set(filter(None, self.rows))
        rows, total = self._rows_at(offset, limit), len(self.rows)
        self.told.append(self.total_count(total, len(rows)))
        self.answers += 1
        self.drift(self)
        return Page("", tuple(rows), self.told[-1], NOON)

    def insert(self, position: int) -> None:
        """A new row comes."""
        self.born += 1
        self.rows.insert(position, f"new-{self.born}")

    def delete(self, position: int) -> None:
        """A row leaves for good."""
        del self.rows[position : position + 1]

    def _rows_at(self, offset: int, limit: int) -> list[str | None]:
        if self.cap and self.refuses_above_cap and limit > self.cap:
            raise RequestRefused(UsageError("limit"))
        limit = min(limit or len(self.rows), self.cap or len(self.rows))
        if self.refuses_past_end and 0 < offset >= len(self.rows):
            raise RequestRefused(UsageError("fromIndex > toIndex"))
        if offset and self.empty_answers and self.empty_answers[0] <= self.answers:
            self.empty_answers.pop(0)
            return []
        if self.numbers_pages:
            offset *= limit
        if self.aligned and limit:
            offset -= offset % limit
        first = 0 if self.ignores_offset else offset
        rows = self.shuffles(self.rows)[first : first + limit]
        return rows[: self.repeats] + rows


def names(count: int) -> list[str | None]:
    return [f"row-{number:04d}" for number in range(count)]


def listed(
    service: Service, limit: int, one_answer: int = NEVER_AT_ONCE, begun: Iterable[Page] = ()
) -> tuple[Outcome, list[Page]]:
    outcome, kept = Outcome(), list(begun)
    list_all(service.fetch, kept.append, outcome, limit, one_answer, list(kept))
    return outcome, kept


def ids(pages: Iterable[Page]) -> set[str]:
    return {each for page in pages for each in page.ids if each}


def verdict(service: Service, limit: int, one_answer: int = NEVER_AT_ONCE, begun: Iterable[Page] = ()) -> str:
    """The verdict, after checking that `complete` is true and that no request went past the end."""
    outcome, kept = listed(service, limit, one_answer, begun)
    if outcome.verdict == "complete":
        assert service.throughout <= ids(kept)
    for (offset, _), told in zip(service.asked[1:], service.told, strict=False):
        assert offset < max(told, 1)
    return outcome.verdict


def inserting(count: int, place: str) -> Callable[[Service], None]:
    def act(service: Service) -> None:
        position = {"front": 0, "middle": len(service.rows) // 2, "end": len(service.rows)}[place]
        for _ in range(count):
            service.insert(position)

    return act


def deleting(count: int, place: str) -> Callable[[Service], None]:
    draw = random.Random(3)

    def act(service: Service) -> None:
        for _ in range(count):
            if service.rows:
                service.delete(0 if place == "front" else draw.randrange(len(service.rows)))

    return act


# Liveness: what can be proven is proven, in few requests.


@pytest.mark.parametrize(("limit", "share"), [(10, 1.7), (50, 1.2), (100, 1.1), (500, 1.1), (1000, 1.1)])
@pytest.mark.parametrize("count", [0, 1, 49, 50, 51, 100, 101, 500, 1999, 2000, 2001])
def test_an_unmoved_listing_costs_little_more_than_its_pages(count: int, limit: int, share: float) -> None:
    service = Service(names(count))
    assert verdict(service, limit) == "complete"
    assert len(service.asked) <= ceil(count / limit) * share + 2


@pytest.mark.parametrize("aligned", [False, True])
@pytest.mark.parametrize("cap", CAPS)
def test_a_page_cap_loses_nothing(cap: int, aligned: bool) -> None:
    service = Service(names(337), cap=cap, aligned=aligned)
    assert verdict(service, 100) == "complete"


@pytest.mark.parametrize("limit", [1, 2, 3, 4, 5, 7, 10])
@pytest.mark.parametrize("count", range(14))
def test_small_listings_in_small_pages_are_proven_too(count: int, limit: int) -> None:
    assert verdict(Service(names(count)), limit) == "complete"


def test_a_limit_that_is_refused_is_asked_smaller() -> None:
    service = Service(names(337), cap=50, refuses_above_cap=True)
    assert verdict(service, 500) == "complete"


def test_a_service_that_refuses_every_limit_fails_with_its_own_error() -> None:
    with pytest.raises(UsageError, match="limit"):
        listed(Service(names(337), cap=1, refuses_above_cap=True), 500)


@pytest.mark.parametrize("place", ["front", "middle", "end"])
@pytest.mark.parametrize("count", [1, 5])
def test_a_listing_that_grows_a_little_is_complete(place: str, count: int) -> None:
    service = Service(names(2000), drift=inserting(count, place))
    assert verdict(service, 100, ALL_AT_ONCE) == "complete"
    assert len(service.asked) < 60


@pytest.mark.parametrize("place", ["front", "anywhere"])
@pytest.mark.parametrize("count", [1, 5])
@pytest.mark.parametrize("refuses", [False, True])
def test_a_listing_that_shrinks_a_little_is_complete(place: str, count: int, refuses: bool) -> None:
    service = Service(names(2000), drift=deleting(count, place), refuses_past_end=refuses)
    assert verdict(service, 100) == "complete"
    assert len(service.asked) < 60


def test_a_walk_learns_how_far_rows_slip_between_its_pages() -> None:
    service = Service(names(2000), drift=deleting(5, "front"))
    assert verdict(service, 50) == "complete"
    assert len(service.asked) < 70


@pytest.mark.parametrize("count", [1, 5])
def test_rows_that_come_as_others_go_do_not_hide_behind_the_total(count: int) -> None:
    def act(service: Service) -> None:
        deleting(count, "front")(service)
        inserting(count, "end")(service)

    service = Service(names(2000), drift=act)
    assert verdict(service, 100) == "complete"
    assert set(service.told) == {2000}


@pytest.mark.parametrize("count", [1, 5])
def test_front_inserts_are_caught_up_with_without_one_big_answer(count: int) -> None:
    service = Service(names(2000), drift=inserting(count, "front"))
    assert verdict(service, 100) == "complete"
    assert len(service.asked) < 40


def test_a_listing_that_lost_most_of_its_rows_in_between_is_complete() -> None:
    def act(service: Service) -> None:
        if service.answers == 8:
            del service.rows[100:600]

    service = Service(names(1000), drift=act)
    outcome, kept = listed(service, 100)
    assert (outcome.verdict, outcome.pass_count) == ("complete", 1)
    assert service.throughout <= ids(kept)


@pytest.mark.parametrize("refuses", [False, True])
def test_after_a_collapse_no_offset_past_the_end_is_asked(refuses: bool) -> None:
    def act(service: Service) -> None:
        if service.answers == 8:
            del service.rows[200:]

    service = Service(names(1000), drift=act, refuses_past_end=refuses)
    if refuses:
        assert listed(service, 100)[0].verdict == "complete"
    else:
        assert verdict(service, 100) == "complete"


@pytest.mark.parametrize("empty", [1, 3])
def test_empty_pages_are_asked_for_again(empty: int) -> None:
    service = Service(names(500), empty_answers=[2] * empty)
    assert verdict(service, 100) == "complete"


def test_pages_that_stay_empty_are_never_called_complete() -> None:
    service = Service(names(500), empty_answers=[2] * 10_000, cap=100)
    outcome, _ = listed(service, 100, ALL_AT_ONCE)
    assert (outcome.verdict, outcome.reason) == ("incomplete", "no instances came at offset 95 of 500")


def test_a_page_that_comes_short_once_does_not_make_the_others_short() -> None:
    sizes = {3: 2}

    class Hiccup(Service):
        def _rows_at(self, offset: int, limit: int) -> list[str | None]:
            return super()._rows_at(offset, min(limit, sizes.get(self.answers, limit)))

    service = Hiccup(names(2000))
    assert verdict(service, 100) == "complete"
    assert len(service.asked) < 30


def test_pages_that_get_shorter_as_rows_get_longer_are_followed() -> None:
    class Heavy(Service):
        def _rows_at(self, offset: int, limit: int) -> list[str | None]:
            return super()._rows_at(offset, min(limit, 100 if offset < 900 else 7))

    assert verdict(Heavy(names(1000)), 100) == "complete"


@pytest.mark.parametrize("trap", ["ignores_offset", "numbers_pages"])
def test_a_service_that_does_not_count_rows_is_read_in_one_answer(trap: str) -> None:
    assert verdict(Service(names(500), **{trap: True}), 100, ALL_AT_ONCE) == "complete"  # type: ignore[arg-type]


@pytest.mark.parametrize("count", [3, 5, 12, 500])
@pytest.mark.parametrize("limit", [1, 2, 3, 5, 100])
@pytest.mark.parametrize("trap", ["ignores_offset", "numbers_pages"])
def test_and_is_incomplete_where_one_answer_is_capped(trap: str, limit: int, count: int) -> None:
    service = Service(names(count), cap=2, **{trap: True})  # type: ignore[arg-type]
    outcome, kept = listed(service, limit, ALL_AT_ONCE)
    assert (outcome.verdict == "complete") == (ids(kept) >= service.throughout)


def test_a_listing_that_outgrows_the_reader_ends_as_incomplete() -> None:
    service = Service(names(50), drift=inserting(30, "end"))
    outcome, _ = listed(service, 20)
    assert (outcome.verdict, outcome.reason) == (
        "incomplete",
        "the listing grows faster than it can be read",
    )


@pytest.mark.parametrize("place", ["front", "middle"])
def test_a_flood_of_rows_ends_the_listing_too(place: str) -> None:
    service = Service(names(20), drift=inserting(24, place))
    assert verdict(service, 10) == "incomplete"
    assert len(service.asked) < 1000


# What the rows say.


def test_rows_with_unusable_ids_are_counted_and_not_lost() -> None:
    rows = names(500)
    rows[3] = rows[99] = rows[100] = rows[499] = None
    service = Service(rows)
    outcome, kept = listed(service, 100)
    assert (outcome.verdict, len(ids(kept))) == ("complete", 496)


def test_rows_without_any_usable_id_cannot_be_proven_page_by_page() -> None:
    assert verdict(Service([None] * 500), 100) == "incomplete"
    assert verdict(Service([None] * 500), 100, ALL_AT_ONCE) == "complete"


def test_a_row_that_the_listing_holds_twice_is_kept_once_and_accounted_for() -> None:
    rows = names(200) + names(20)
    service = Service(rows)
    outcome, kept = listed(service, 100, ALL_AT_ONCE)
    assert (outcome.verdict, len(ids(kept))) == ("complete", 200)
    assert outcome.row_count - outcome.duplicate_count == 200


@pytest.mark.parametrize("count", range(190, 205))
def test_rows_that_answers_repeat_beyond_the_limit_do_not_stand_for_others(count: int) -> None:
    assert verdict(Service(names(count), repeats=2), 100, ALL_AT_ONCE) == "complete"


@pytest.mark.parametrize("distinct", range(90, 110))
def test_repeated_rows_that_the_total_leaves_out_do_not_stand_for_others(distinct: int) -> None:
    rows = names(distinct)
    rows[5:5] = rows[3:6]
    for cap in (None, distinct, 50):
        service = Service(list(rows), cap=cap, total_count=lambda total, listed: total - 3)
        outcome, kept = listed(service, 100, ALL_AT_ONCE)
        assert outcome.verdict == "incomplete" or service.throughout <= ids(kept)


@pytest.mark.parametrize("cap", [None, 100])
@pytest.mark.parametrize("count", [99, 100, 101, 2000])
def test_a_total_that_only_counts_the_page_is_seen_through(count: int, cap: int | None) -> None:
    service = Service(names(count), cap=cap, total_count=lambda total, listed: listed)
    verdict(service, 100, ALL_AT_ONCE)


@pytest.mark.parametrize("lag", [1, 7, 90, 100, 150])
def test_a_total_that_lags_behind_the_rows_is_not_believed(lag: int) -> None:
    service = Service(names(400), total_count=lambda total, listed: max(0, total - lag))
    outcome, kept = listed(service, 100, ALL_AT_ONCE)
    assert outcome.verdict == "incomplete" or ids(kept) >= service.throughout
    assert len(service.asked) < 40


def test_a_total_above_what_is_there_is_incomplete() -> None:
    service = Service(names(400), total_count=lambda total, listed: total + 1)
    outcome, kept = listed(service, 100, ALL_AT_ONCE)
    assert (outcome.verdict, len(ids(kept))) == ("incomplete", 400)
    assert len(service.asked) < 60


# Orders that move.


def swapped_ties(group: int, seed: int = 5) -> Callable[[Sequence[str | None]], list[str | None]]:
    """Every so many rows have equal keys, and come in another order each time."""
    draw = random.Random(seed)

    def shuffle(rows: Sequence[str | None]) -> list[str | None]:
        groups = [list(rows[at : at + group]) for at in range(0, len(rows), group)]
        return [row for each in groups for row in draw.sample(each, len(each))]

    return shuffle


@pytest.mark.parametrize("group", [2, 5, 40, 400])
@pytest.mark.parametrize("seed", range(5))
def test_ties_that_change_places_lose_nothing(group: int, seed: int) -> None:
    assert verdict(Service(names(400), shuffles=swapped_ties(group, seed)), 100, ALL_AT_ONCE) == "complete"
    verdict(Service(names(400), shuffles=swapped_ties(group, seed)), 100)


@pytest.mark.parametrize("seed", range(20))
def test_an_order_of_chance_that_loses_rows_as_it_loses_others_is_incomplete(seed: int) -> None:
    service = Service(names(400), shuffles=swapped_ties(400, seed), drift=deleting(5, "anywhere"))
    verdict(service, 100)


@pytest.mark.parametrize("place", [0, 40, 90])
def test_a_row_that_moves_behind_the_walk_is_missed_by_the_count(place: int) -> None:
    def act(service: Service) -> None:
        if service.answers == 3:
            service.rows.insert(place, service.rows.pop(200))

    service = Service(names(300), drift=act)
    assert verdict(service, 50) == "complete"


def test_two_equal_walks_that_both_skip_a_row_prove_nothing() -> None:
    def act(service: Service) -> None:
        match service.answers:
            case 1 | 6:
                service.insert(0)
            case 2 | 7:
                service.delete(0)
            case 8:
                service.insert(4)
            case 9:
                service.rows[:] = ["row-0001", "row-0002", "row-0003"]

    service = Service(names(4), drift=act)
    outcome, kept = listed(service, 1)
    assert outcome.verdict == "incomplete" or ids(kept) >= service.throughout
    assert service.asked[:10] == [(at, 1) for at in (0, 1, 2, 3, 0, 0, 1, 2, 3, 4)]


@pytest.mark.parametrize("group", [2, 3, 10, 20])
@pytest.mark.parametrize("seed", range(10))
def test_ties_that_change_places_as_rows_leave_are_not_taken_for_proof(group: int, seed: int) -> None:
    draw = random.Random(seed)

    def shuffle(rows: Sequence[str | None]) -> list[str | None]:
        tied = {row: int(str(row)[-4:]) // group for row in rows}
        groups = [list(each) for _, each in groupby(rows, key=lambda row: (tied[row], tied[row] % 8 and row))]
        return [row for each in groups for row in draw.sample(each, len(each))]

    verdict(Service(names(200), shuffles=shuffle, drift=deleting(1, "anywhere")), 20)


# Resumed walks.


def cut_after(service: Service, answers: int, limit: int) -> list[Page]:
    """The pages of a listing that was killed after so many answers."""
    kept: list[Page] = []

    def fetch(offset: int, limit: int) -> Page:
        if len(kept) == answers:
            raise Cut
        return service.fetch(offset, limit)

    with suppress(Cut):
        list_all(fetch, kept.append, Outcome(), limit, NEVER_AT_ONCE)
    return kept


@pytest.mark.parametrize("cap", [None, 73])
@pytest.mark.parametrize("answers", range(34))
def test_a_resumed_walk_goes_on_where_the_other_one_ended(answers: int, cap: int | None) -> None:
    whole, service = Service(names(2000), cap=cap), Service(names(2000), cap=cap)
    cut_after(whole, 1000, 100)
    begun = cut_after(service, answers, 100)
    assert verdict(service, 100, begun=begun) == "complete"
    assert len(service.asked) <= len(whole.asked) + 2


def test_rows_that_left_before_a_resumed_walk_do_not_stand_for_those_that_stayed() -> None:
    service = Service(names(100))
    begun = cut_after(service, 7, 10)
    reached = len(ids(begun))
    del service.rows[: 100 - reached]
    assert len(service.rows) == reached
    assert verdict(service, 10, begun=begun) == "complete"


def test_rows_that_left_between_begun_pages_do_not_either() -> None:
    service = Service(names(200), drift=deleting(3, "front"))
    begun = cut_after(service, 5, 20)
    service.drift = lambda service: None
    assert verdict(service, 20, begun=begun) == "complete"


def test_a_row_that_came_amid_begun_pages_does_not_stop_the_resumed_walk() -> None:
    def act(service: Service) -> None:
        for position in (17, 35, 52):
            service.insert(position)

    service = Service(names(200), drift=act)
    begun = cut_after(service, 6, 20)
    service.drift = lambda service: None
    assert verdict(service, 20, ALL_AT_ONCE, begun=begun) == "complete"


def test_a_resumed_walk_does_not_take_a_cap_for_the_end() -> None:
    def act(service: Service) -> None:
        if service.answers == 2:
            del service.rows[:4]

    service = Service(names(19), cap=7, aligned=True, drift=act)
    begun = cut_after(service, 1, 8)
    assert verdict(service, 8, begun=begun) == "complete"


def test_begun_pages_that_seem_to_reach_the_end_do_not_prove_it() -> None:
    pages = [(("a", "b", "c"), 8), (("c", "d", "e"), 6), (("e", "f", "g"), 6)]
    begun = [Page("", rows, total, NOON) for rows, total in pages]
    assert verdict(Service(["c", "d", "e", "f", "g", "h"]), 3, begun=begun) == "complete"


# The universal claim.

OPERATIONS = st.tuples(st.sampled_from(["insert", "delete", "delete"]), st.integers(0, 60))
SCRIPTS = st.lists(st.lists(OPERATIONS, max_size=4), max_size=25)


def playing(script: list[list[tuple[str, int]]]) -> Callable[[Service], None]:
    """Move the listing by the next part of a script after each answer."""
    rest = iter(script)

    def act(service: Service) -> None:
        for operation, position in next(rest, []):
            if operation == "insert":
                service.insert(position % (len(service.rows) + 1))
            elif service.rows:
                service.delete(position % len(service.rows))

    return act


@settings(max_examples=600)
@given(
    count=st.integers(0, 45),
    limit=st.integers(1, 14),
    cap=st.none() | st.integers(1, 14),
    aligned=st.booleans(),
    refuses=st.booleans(),
    unusable=st.lists(st.integers(0, 44), max_size=3),
    one_answer=st.sampled_from([NEVER_AT_ONCE, ALL_AT_ONCE]),
    answers=st.integers(0, 12),
    script=SCRIPTS,
)
def test_complete_is_true_whatever_comes_and_goes(
    count: int,
    limit: int,
    cap: int | None,
    aligned: bool,
    refuses: bool,
    unusable: list[int],
    one_answer: int,
    answers: int,
    script: list[list[tuple[str, int]]],
) -> None:
    rows = names(count)
    for position in unusable:
        rows[position : position + 1] = [None] * len(rows[position : position + 1])
    service = Service(rows, cap, aligned=aligned, refuses_past_end=refuses, drift=playing(script))
    begun = cut_after(service, answers, limit)
    outcome, kept = listed(service, limit, one_answer, begun)
    assert outcome.verdict in ("complete", "incomplete")
    assert outcome.verdict == "incomplete" or service.throughout <= ids(kept)


@given(count=st.integers(0, 400), limit=st.integers(1, 120), cap=st.none() | st.integers(1, 120))
def test_an_unmoved_listing_is_complete_whatever_the_sizes(count: int, limit: int, cap: int | None) -> None:
    assert verdict(Service(names(count), cap), limit) == "complete"


@given(covered=st.integers(1, 5000), most=st.integers(1, 600), overlap=st.integers(1, 300))
def test_a_window_is_aligned_and_leaves_no_gap(covered: int, most: int, overlap: int) -> None:
    offset, limit = window(covered, most, overlap)
    assert 1 <= limit <= most
    assert offset % limit == 0
    assert offset <= covered < offset + limit or overlap > most // 2 or most < 3


@given(total=st.integers(0, 5000), most=st.integers(1, 600))
def test_the_last_window_holds_the_end_in_its_middle(total: int, most: int) -> None:
    found = last_window(total, most)
    if found:
        offset, limit = found
        assert limit <= most
        assert offset % limit == 0
        assert offset < total < offset + limit
    else:
        assert all(total % limit == 0 for limit in range(most // 2 + 1, most + 1))


def test_what_a_page_repeats_is_accounted_for_once() -> None:
    walk = Walk()
    walk.take(Page("", ("a", "b", None, "b"), 6, NOON), 0, 4)
    assert (walk.accounted, walk.covered, walk.chained, walk.ended) == (4, 4, True, False)
    walk.take(Page("", (None, "c"), 6, NOON), 4, 4, served=4)
    assert (walk.accounted, walk.covered, walk.chained, walk.ended) == (6, 6, False, True)


def test_rows_that_an_answer_adds_to_what_it_counts_account_for_nothing() -> None:
    walk = Walk()
    walk.take(Page("", ("a", "b", "a", "b"), 6, NOON), 0, 2)
    assert (walk.accounted, walk.covered) == (2, 2)


def test_an_unusable_row_is_counted_once_where_the_walk_went_back() -> None:
    walk = Walk()
    walk.take(Page("", ("a", "b", "c", None), 9, NOON), 0, 4)
    walk.take(Page("", ("b", "c"), 9, NOON), 1, 2)
    walk.take(Page("", ("c", None, "d"), 9, NOON), 2, 3)
    assert (walk.accounted, walk.covered) == (5, 5)
