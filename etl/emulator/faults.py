"""What may go wrong, a field a fault: to be set while the service runs, one or several at once."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from etl.emulator.answers import ERRORS, Answer
from etl.emulator.clock import http_date

RetryAfter = Literal["seconds", "date", "none"]


@dataclass
class Faults:
    """The faults of the listing; as built there are none.

    A field that ends in `next`, and `empty_pages`, counts down as it is used.
    """

    # How pages are cut.
    page_cap: int | None = None  # No answer holds more rows than this, whatever was asked for.
    cap_refuses: bool = False  # A limit above page_cap is refused with 400 instead of cut.
    page_aligned: bool = False  # The offset is rounded down to a multiple of the limit.
    page_numbers: bool = False  # The offset is read as the number of a page.
    past_end_error: bool = False  # An offset at or past the total is refused with 400.
    ignore_offset: bool = False  # Every answer is the first page.
    ignore_sort: bool = False  # The order is that of the ids, whatever was asked for.
    empty_pages: int = 0  # So many of the next pages past the first have no rows.
    duplicate_rows: int = 0  # The first so many rows of each answer come twice in it.
    swap_ties: bool = False  # Rows with equal sort keys come in another order each time.
    # The total instead of the true one: a number, "text" (the true one as text) or "absent".
    total_count: int | Literal["text", "absent"] | None = None

    # What moves while one pages: it is done after each page that was served.
    insert_per_page: int = 0  # So many new rows appear at the front of the order.
    append_per_page: int = 0  # So many new rows appear at its end.
    delete_per_page: int = 0  # So many rows at its front vanish.
    delete_and_create_per_page: int = 0  # Both, so that the total never moves.
    status_moves_per_page: int = 0  # So many instances start, or stop.

    # Answers that are errors.
    answer: Answer | None = None  # Every answer is this one.
    fail_next: list[Answer] = field(default_factory=list)  # The next answers, in turn.
    fail_next_token: list[Answer] = field(default_factory=list)  # Likewise for tokens.
    # An answer by the number of the request: 1 is the first since the requests were cleared, and
    # requests for tokens count as well.
    fail_at_request: dict[int, Answer] = field(default_factory=dict)
    throttle_after: int | None = None  # After each so many answers come throttle_times 429s.
    throttle_times: int = 1
    throttle_header: RetryAfter = "seconds"  # How Retry-After is given with them, if at all.
    throttle_seconds: int = 1  # What it says.
    expire_token_after: int | None = None  # A token is good for so many requests.

    # Answers that do not arrive whole, or late.
    truncate_next: int = 0  # Half the body under the full Content-Length, then the end.
    truncate_clean: int = 0  # Half the body of so many answers, with a fitting Content-Length.
    reset_next: int = 0  # The connection is reset in the middle of the body.
    slow_seconds: float = 0.0  # Each answer waits so long before it is sent.

    _served: int = field(default=0, init=False, repr=False, compare=False)

    def scripted(self, number: int) -> Answer | None:
        """The error that is due for a request, by its number, if one is."""
        if number in self.fail_at_request:
            return self.fail_at_request[number]
        return self.fail_next.pop(0) if self.fail_next else self.answer

    def throttled(self, now_us: int) -> Answer | None:
        """The 429 that is due, if one is; else the request counts as let through."""
        if self.throttle_after is None:
            return None
        self._served = (self._served + 1) % (self.throttle_after + self.throttle_times)
        if 0 < self._served <= self.throttle_after:
            return None
        return replace(ERRORS["throttled"], headers=self._retry_after(now_us))

    def delivered(self, answer: Answer) -> Answer:
        """The answer as it will arrive."""
        late = replace(answer, wait_seconds=self.slow_seconds)
        if self.reset_next > 0:
            self.reset_next -= 1
            return replace(late, delivery="reset")
        if self.truncate_next > 0:
            self.truncate_next -= 1
            return replace(late, delivery="short")
        if self.truncate_clean > 0:
            self.truncate_clean -= 1
            return late.halved()
        return late

    def _retry_after(self, now_us: int) -> Mapping[str, str]:
        if self.throttle_header == "none":
            return {}
        if self.throttle_header == "seconds":
            return {"Retry-After": str(self.throttle_seconds)}
        # A date of whole seconds must not come before the wait is over.
        over = math.ceil(now_us / 1_000_000) + self.throttle_seconds
        return {"Retry-After": http_date(over * 1_000_000)}
