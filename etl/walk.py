"""Walk an offset/limit listing to its end, and prove that nothing was passed over.

Rows may come and go while one pages. The proof of a walk has three parts. Each page holds a row
that the walk has already seen, so that the new rows follow it without a gap: whatever was listed
from the first page to the last is then in one of the pages, however the rows before it shift.
The last page ended before its limit, just where the total says that the listing ends. And what
was collected accounts for that total.

Where pages are too small to hold on to each other, or the order was seen to change, a second walk
proves the first: if all of its rows are there again, none had left when it had as many as the total.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from etl.page import Page


@dataclass
class Walk:
    """How far one pass through a listing has come.

    `chained` says that each page so far held a row that was known, in the order that was known;
    `ended` that the last one came to the end of the listing. `accounted` counts the positions of
    the listing that are explained: an id, an unusable row, or a row that it holds twice.
    """

    covered: int = 0
    furthest: int = 0
    ids: set[str] = field(default_factory=set)
    unusable: int = 0
    chained: bool = True
    ended: bool = False
    total_count: int = 0
    last: tuple[str | None, ...] = ()

    @property
    def accounted(self) -> int:
        """The positions of the listing that the rows collected explain."""
        return len(self.ids) + self.unusable

    def joins(self, page: Page) -> bool:
        """Whether the page holds a row that is known."""
        return not self.ids.isdisjoint(page.ids)

    def take(self, page: Page, offset: int, limit: int, served: int = 0) -> int:
        """Add the page that came for the offset and limit; the number of ids that are new.

        `served` is how many rows the service is known to put into a page.
        """
        joins = not offset or self.joins(page)
        self.chained = self.chained and joins and _same_order(self.last, page.ids)
        count = min(len(page.ids), limit)
        if count == len(page.ids):  # else the service repeats rows beyond what it counts
            fresh = page.ids[max(0, self.furthest - offset) :]
            self.unusable += len(fresh) - len(set(filter(None, fresh)))
        self.covered = offset + count
        self.furthest = max(self.furthest, self.covered)
        # A cap may look like the end: it can move the offset, and the total leave out what comes twice.
        surely = limit <= served or (not offset and len(page.ids) == len(set(page.ids)))
        self.ended = self.covered == page.total_count and count < limit and surely
        self.last = page.ids
        return self.learn(page)

    def learn(self, page: Page) -> int:
        """Add the ids and the total of a page, wherever it is from; the number of ids that are new."""
        known = len(self.ids)
        self.ids.update(filter(None, page.ids))
        self.total_count = page.total_count
        return len(self.ids) - known


def judge(walk: Walk, before: Walk | None) -> tuple[str, str]:
    """The verdict on a walk that came to the end, and the reason where it is not complete."""
    # What is there again had not left, so the walk before held all that was there at its end.
    if before and len(before.ids) >= before.total_count and before.ids <= walk.ids:
        return "complete", ""
    if walk.accounted < walk.total_count:
        return "incomplete", f"{walk.accounted} of {walk.total_count} instances came"
    if not walk.chained:
        return "incomplete", "the pages do not join, so instances may have slipped between them"
    return "complete", ""


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


def last_window(total_count: int, most: int) -> tuple[int, int] | None:
    """The offset and limit of a page that a listing of that size ends in the middle of, if any."""
    limits = [limit for limit in range(most, most // 2, -1) if total_count % limit]
    if not limits:
        return None
    best = min(limits, key=lambda limit: abs(2 * (total_count % limit) - limit))
    return total_count // best * best, best


def sized_window(covered: int, size: int, overlap: int, *, aligned: bool) -> tuple[int, int]:
    """The offset and limit of the next page where only some limits are taken, this one the largest.

    No limits of 10, 20 and 50 overlap at a multiple of 100 from offsets that are multiples of them; so
    pages that have to be `aligned` go without an overlap.
    """
    return (covered // size * size if aligned else max(0, covered - overlap)), size


def last_sized_window(total_count: int, sizes: Sequence[int], *, aligned: bool) -> tuple[int, int] | None:
    """The same for the page that a listing of that size ends in the middle of, if any."""
    if not aligned:
        return max(0, total_count - max(sizes) // 2), max(sizes)
    fitting = [size for size in sorted(sizes, reverse=True) if total_count % size]
    return (total_count // fitting[0] * fitting[0], fitting[0]) if fitting else None


def _same_order(one: tuple[str | None, ...], other: tuple[str | None, ...]) -> bool:
    """Whether the ids that two pages share come in the same order in both."""
    shared = set(one).intersection(other) - {None}
    first, second = ([each for each in dict.fromkeys(ids) if each in shared] for ids in (one, other))
    return first == second
