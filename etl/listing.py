"""List everything behind an offset and a limit, whatever the service makes of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from etl.apis import INSTANCES, Resource
from etl.errors import DemeterError
from etl.page import Page
from etl.walk import Walk, judge, last_sized_window, last_window, sized_window, window

Fetch = Callable[[int, int], Page]
Keep = Callable[[Page], None]

PASSES = 4
TRIES = 4
CATCHING_UP = 20
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


def list_all(
    fetch: Fetch,
    keep: Keep,
    outcome: Outcome,
    limit: int,
    one_answer: int,
    begun: Iterable[Page] = (),
    resource: Resource = INSTANCES,
) -> None:
    """List everything, give each page to `keep`, and write the verdict into `outcome`.

    `limit` is the page size, `one_answer` the most rows that may be asked for at once when paging
    does not work, if the resource takes any limit; `begun` are the pages of an earlier walk, to go on from.
    """
    listing = _Listing(fetch, keep, outcome, limit, resource)
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
        small = not resource.sizes and (outcome.total_count_last or 0) <= one_answer
        if outcome.verdict != "complete" and small:
            listing.in_one_answer()
        walk = Walk()


class _Listing:
    """One listing: asks for its pages, counts them, and hands them on."""

    def __init__(self, fetch: Fetch, keep: Keep, outcome: Outcome, limit: int, resource: Resource) -> None:
        self.fetch, self.keep, self.outcome, self.resource = fetch, keep, outcome, resource
        self.limit = self.most = resource.size(limit)
        self.aligned = False
        self.seen: set[str] = set()
        self.served = self.slack = self.stale = 0
        self.doubted = False

    def resumed(self, begun: Iterable[Page]) -> Walk:
        """The walk that the pages of an earlier one lead to; where it stands is a guess."""
        walk = Walk()
        for page in begun:
            self._note(page)
            known = [position for position, each in enumerate(page.ids) if each in walk.ids]
            walk.take(page, walk.covered - 1 - max(known, default=-1), len(page.ids))
            self.served = max(self.served, min(len(page.ids), self.limit))
        return walk

    def to_the_end(self, walk: Walk) -> None:
        """Ask for page after page until the listing is covered; Broken when it cannot be."""
        if not walk.covered:
            self._begin(walk)
        self.stale = 0
        patience = 4 * (self.outcome.total_count_first or 0) + 100 * self.limit
        while walk.covered < walk.total_count or not walk.ended:
            if walk.covered >= walk.total_count and not self._last_window(walk.total_count):
                walk.chained = False  # the pages are too small to prove the end
                break
            self._go_on(walk)
            if self.stale == TRIES:
                raise Broken("the service sends the same instances whatever the offset")
            if len(walk.ids) > patience:
                raise Broken("the listing grows faster than it can be read")
        self._catch_up(walk)

    def in_one_answer(self) -> None:
        """Ask for everything at once: one answer cannot shift, only fall short of its own total."""
        try:
            page = self._ask(0, 0)
        except (Broken, RequestRefused):
            return
        usable = [each for each in page.ids if each]
        distinct = len(page.ids) - len(usable) + len(set(usable))
        repeats = len(page.ids) > distinct == page.total_count
        if repeats or (not self.doubted and page.total_count in (distinct, len(page.ids))):
            self.outcome.verdict, self.outcome.reason = "complete", ""

    def _begin(self, walk: Walk) -> None:
        """Take the first page, a smaller one where the service refuses the size."""
        self.limit = self.most
        try:
            page = self._ask(0, self.limit)
        except RequestRefused as refused:
            if self.limit <= SMALL_LIMIT:
                raise refused.error from None
            self.most = SMALL_LIMIT
            return self._begin(walk)
        self._take(walk, page, 0, self.limit)
        return None

    def _go_on(self, walk: Walk) -> None:
        """Take the next page; go back until one joins."""
        reach, back = walk.covered, self.limit // 2
        for _ in range(TRIES):
            offset, limit = self._window(reach, walk.total_count)
            try:
                page = self._ask(offset, limit)
            except RequestRefused:
                page = None  # past the end: the listing has become shorter
            if page and self._is_rounded(walk, page, offset):
                self.aligned, reach = True, walk.covered
                continue
            # Where pages are too small to overlap, a second walk has to prove the first.
            if page and (not offset or offset >= walk.covered or walk.joins(page)):
                return self._take(walk, page, offset, limit)
            self.slack = min(self.limit // 2, 2 * self.slack + self._overlap())
            reach = max(0, min(offset - back, (self.outcome.total_count_last or 0) - 1))
            back *= 2
        raise Broken("the service does not answer to offsets")

    def _take(self, walk: Walk, page: Page, offset: int, limit: int) -> None:
        self.slack = max(self.slack // 2, 2 * (walk.total_count - page.total_count))
        fresh, count = walk.take(page, offset, limit, self.served), min(len(page.ids), limit)
        if fresh and walk.covered > page.total_count:
            self.doubted = True
            raise Broken(f"more instances came than the total of {page.total_count} allows for")
        self.stale = 0 if fresh else self.stale + 1
        self.served = max(self.served, count)
        if count < limit and walk.covered < page.total_count:
            # The service caps its pages, by rows or by bytes; but a page may come short just once.
            self.limit = self.resource.size(min(self.limit, self.served) if self.stale < 2 else count)

    def _is_rounded(self, walk: Walk, page: Page, offset: int) -> bool:
        """Whether a page that was to overlap a little is nearly all known: the service rounds its offset."""
        if not self.resource.sizes or self.aligned or walk.covered - offset > self.limit // 4:
            return False
        known = sum(each in walk.ids for each in page.ids)
        return 4 * known >= 3 * self.limit

    def _ask(self, offset: int, limit: int) -> Page:
        """The page at an offset, asked for again while it is empty though there should be rows."""
        for _ in range(TRIES):
            page = self.fetch(offset, limit)
            self._note(page)
            self.keep(page)
            if page.ids or offset >= page.total_count:
                return page
        raise Broken(f"no instances came at offset {offset} of {page.total_count}")

    def _catch_up(self, walk: Walk) -> None:
        """Take from the front what was put there while the walk went on: the total counts it."""
        front = Walk()
        for _ in range(CATCHING_UP):
            if walk.accounted >= walk.total_count:
                return
            offset, limit = self._window(front.covered, walk.total_count)
            try:
                page = self._ask(offset, limit)
            except RequestRefused:
                return
            front.take(page, offset, limit)
            if walk.learn(page):
                continue
            if not offset:
                return
            front = Walk()  # the rest is known; what came meanwhile is at the front again

    def _window(self, reach: int, total_count: int) -> tuple[int, int]:
        """The offset and limit of the page that goes on from a reach, or proves the end there."""
        if not reach:
            return 0, self.limit
        last = self._last_window(total_count) if reach >= total_count else None
        if self.resource.sizes:
            return last or sized_window(reach, self.limit, self._overlap(), aligned=self.aligned)
        return last or window(reach, self.limit, self._overlap())

    def _last_window(self, total_count: int) -> tuple[int, int] | None:
        if self.resource.sizes:
            sizes = [each for each in self.resource.sizes if each <= self.limit]
            return last_sized_window(total_count, sizes, aligned=self.aligned)
        return last_window(total_count, min(self.limit, self.served))

    def _overlap(self) -> int:
        return max(1, min(10, self.limit // 20)) + min(self.slack, self.limit // 2)

    def _note(self, page: Page) -> None:
        self.outcome.note(page)
        usable = [each for each in page.ids if each is not None]
        self.outcome.row_count += len(page.ids)
        self.outcome.duplicate_count += len(usable) - len(set(usable) - self.seen)
        self.seen.update(usable)
