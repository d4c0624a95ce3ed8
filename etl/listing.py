"""Walk an offset/limit listing to its end, and prove that nothing was passed over.

Rows may come and go while one pages. Two things keep the walk honest. Each page begins on rows
that the walk has already seen, so that the new rows follow them without a gap: whatever was listed
from the first page to the last is then in one of the pages, however the rows before it shift.
And what was collected must account for the total that the last page told.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from etl.errors import DemeterError
from etl.page import Page

Fetch = Callable[[int, int], Page]
Keep = Callable[[Page], None]

PASSES = 4
TRIES = 4
SMALL_LIMIT = 50


class RequestRefused(Exception):
    """The service refused a request for its offset or limit; carries the error to tell the user."""

    def __init__(self, error: DemeterError) -> None:
        super().__init__(str(error))
        self.error = error


class Broken(Exception):
    """A pass lost the thread of the listing; its message says how."""


@dataclass
class Outcome:
    """The verdict on one listing, and the counts it rests on."""

    verdict: str = "failed"
    reason: str = ""
    total_count_first: int | None = None
    total_count_last: int | None = None
    row_count: int = 0
    duplicate_count: int = 0
    page_count: int = 0
    pass_count: int = 0

    def note(self, page: Page) -> None:
        """Count a page that came."""
        if self.total_count_first is None:
            self.total_count_first = page.total_count
        self.total_count_last = page.total_count
        self.page_count += 1


@dataclass
class Walk:
    """How far one pass through a listing has come.

    `chained` says that each page so far began on a row that was known; `accounted` counts the
    positions of the listing that are explained: an id, an unusable row, or a row that the service
    lists twice in one answer.
    """

    covered: int = 0
    ids: set[str] = field(default_factory=set)
    order: list[str | None] = field(default_factory=list)
    unusable: int = 0
    chained: bool = True
    total_count: int = 0

    @property
    def accounted(self) -> int:
        """The positions of the listing that the rows collected explain."""
        return len(self.ids) + self.unusable

    def joins(self, page: Page) -> bool:
        """Whether the page holds a row that is known."""
        return not self.ids.isdisjoint(filter(None, page.ids))

    def take(self, page: Page, offset: int) -> int:
        """Add the page that came for the offset; the number of ids that are new in this walk."""
        self.chained = self.chained and (not offset or self.joins(page))
        fresh = page.ids[max(0, self.covered - offset) :]
        usable = [each for each in fresh if each is not None]
        self.unusable += len(fresh) - len(set(usable))
        known = len(self.ids)
        self.ids.update(filter(None, page.ids))
        self.order.extend(fresh)
        self.covered = offset + len(page.ids)
        self.total_count = page.total_count
        return len(self.ids) - known


def list_all(
    fetch: Fetch,
    keep: Keep,
    outcome: Outcome,
    limit: int,
    one_answer: int,
    begun: Iterable[Page] = (),
) -> None:
    """List everything, give each page to `keep`, and write the verdict into `outcome`.

    `limit` is the page size, `one_answer` the most rows that may be asked for at once when paging
    does not work; `begun` are the pages of an earlier walk, to go on from.
    """
    listing = _Listing(fetch, keep, outcome, limit)
    walk, before = listing.resumed(begun), None
    while outcome.verdict != "complete" and outcome.pass_count < PASSES:
        outcome.pass_count += 1
        try:
            listing.to_the_end(walk)
        except Broken as broken:
            outcome.verdict, outcome.reason = "incomplete", str(broken)
        else:
            outcome.verdict, outcome.reason = judge(walk, before)
            before = walk
        if outcome.verdict != "complete" and (outcome.total_count_last or 0) <= one_answer:
            listing.in_one_answer()
        walk = Walk()


def judge(walk: Walk, before: Walk | None) -> tuple[str, str]:
    """The verdict on a walk that came to the end, and the reason where it is not complete."""
    if walk.accounted < walk.total_count:
        return "incomplete", f"{walk.accounted} of {walk.total_count} instances came"
    # A row that left, and so made others slip, is in the first of two walks only.
    if walk.chained or (before is not None and before.order == walk.order):
        return "complete", ""
    return "incomplete", "the pages do not join, so instances may have slipped between them"


class _Listing:
    """One listing: asks for its pages, counts them, and hands them on."""

    def __init__(self, fetch: Fetch, keep: Keep, outcome: Outcome, limit: int) -> None:
        self.fetch, self.keep, self.outcome = fetch, keep, outcome
        self.limit = limit
        self.seen: set[str] = set()
        self.drop = 0

    def resumed(self, begun: Iterable[Page]) -> Walk:
        """The walk that the pages of an earlier one lead to."""
        walk = Walk()
        for page in begun:
            self._note(page)
            walk.take(page, min(_joint(walk, page), walk.covered))
        return walk

    def to_the_end(self, walk: Walk) -> None:
        """Ask for page after page until the listing is covered; Broken when it cannot be."""
        if not walk.covered:
            self._begin(walk)
        patience = 100 + 4 * walk.total_count // self.limit
        stale = 0
        while walk.covered < walk.total_count:
            stale = 0 if self._go_on(walk) else stale + 1
            patience -= 1
            if stale == TRIES:
                raise Broken("the service sends the same instances whatever the offset")
            if not patience:
                raise Broken("the listing grows faster than it can be read")
        self._look_at_the_front(walk)

    def in_one_answer(self) -> None:
        """Ask for everything at once: one answer cannot shift, only fall short of its own total."""
        try:
            page = self._ask(0, 0)
        except (Broken, RequestRefused):
            return
        walk = Walk()
        walk.take(page, 0)
        if walk.accounted >= page.total_count:
            self.outcome.verdict, self.outcome.reason = "complete", ""

    def _begin(self, walk: Walk) -> None:
        """Take the first page, a smaller one where the service refuses the size."""
        try:
            page = self._ask(0, self.limit)
        except RequestRefused as refused:
            if self.limit <= SMALL_LIMIT:
                raise refused.error from None
            self.limit = SMALL_LIMIT
            return self._begin(walk)
        self._take(walk, page, 0, self.limit)
        return None

    def _go_on(self, walk: Walk) -> int:
        """Take the next page, and say how many new ids it had; go back until one joins."""
        reach = walk.covered
        for _ in range(TRIES):
            offset, limit = window(reach, self.limit, self._overlap())
            try:
                page = self._ask(offset, limit)
            except RequestRefused:
                page = None  # past the end: the listing has become shorter
            # Where pages are too small to overlap, a second walk has to prove the first.
            if page and (not offset or offset >= walk.covered or walk.joins(page)):
                return self._take(walk, page, offset, limit)
            reach = max(0, offset - self.limit // 2)
        raise Broken("the service does not answer to offsets")

    def _take(self, walk: Walk, page: Page, offset: int, limit: int) -> int:
        self.drop = max(0, walk.total_count - page.total_count)
        fresh = walk.take(page, offset)
        if len(page.ids) < limit and walk.covered < page.total_count:
            self.limit = len(page.ids)  # the service caps its pages
        return fresh

    def _ask(self, offset: int, limit: int) -> Page:
        """The page at an offset, asked for again while it is empty though there should be rows."""
        for _ in range(TRIES):
            page = self.fetch(offset, limit)
            self._note(page)
            self.keep(page)
            if page.ids or offset >= page.total_count:
                return page
        raise Broken(f"no instances came at offset {offset} of {page.total_count}")

    def _look_at_the_front(self, walk: Walk) -> None:
        """Take the front again for rows that were put there while the walk went on."""
        fresh = 1
        while fresh and walk.accounted < walk.total_count:
            page = self._ask(0, self.limit)
            known = len(walk.ids)
            walk.ids.update(filter(None, page.ids))
            walk.total_count = page.total_count
            fresh = len(walk.ids) - known

    def _overlap(self) -> int:
        return max(1, min(10, self.limit // 20)) + 2 * self.drop

    def _note(self, page: Page) -> None:
        self.outcome.note(page)
        usable = [each for each in page.ids if each is not None]
        self.outcome.row_count += len(page.ids)
        self.outcome.duplicate_count += len(usable) - len(set(usable) - self.seen)
        self.seen.update(usable)


def window(covered: int, most: int, overlap: int) -> tuple[int, int]:
    """The offset and limit of the next page, which brings the most new rows.

    The offset is a multiple of the limit, so that a service may count rows or pages, and the page
    begins on `overlap` rows that are covered; without overlap where pages are too small for it.
    """
    best, gain = (covered // most * most, most), 0
    for limit in range(most, most // 2, -1):
        offset = max(0, covered - overlap) // limit * limit
        if offset + limit - covered > gain:
            best, gain = (offset, limit), offset + limit - covered
    return best


def _joint(walk: Walk, page: Page) -> int:
    """The offset at which a kept page joins the walk."""
    for position, each in enumerate(page.ids):
        if each is not None and each in walk.ids:
            return walk.order.index(each) - position
    return walk.covered
