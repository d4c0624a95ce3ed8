"""From a request to its answer: routes, credentials, faults and the listing, without the network."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from etl.emulator import answers, notebooks, paging
from etl.emulator.answers import Answer, Declined
from etl.emulator.billing import RATINGS_PATH, Billing
from etl.emulator.clock import Clock, http_date
from etl.emulator.faults import Faults
from etl.emulator.listing import Listing
from etl.emulator.parameters import read_notebook_query, read_query
from etl.emulator.rows import Source
from etl.emulator.signatures import ALGORITHM, Signatures, Signed
from etl.emulator.tokens import Tokens

TOKENS_PATH = "/v3/auth/tokens"
PROJECTS_PATH = "/v3/auth/projects"

Answering = Callable[["Received", Listing, int, Faults], Answer]


@dataclass
class Received:
    """A request as it came, and the status that it was answered with."""

    method: str
    path: str
    params: dict[str, str]
    headers: Mapping[str, str] = field(default_factory=dict)  # By their names in lower case.
    body: bytes = b""
    query: str = ""  # What `params` were read from.
    status: int = 0
    started: float = field(default_factory=time.monotonic)


class Requests(list[Received]):
    """The requests received so far, oldest first; `epoch` counts how often they were cleared."""

    epoch = 0

    def clear(self) -> None:
        """Forget them, and count from 1 again."""
        super().clear()
        self.epoch += 1


class Service:
    """The service: a listing per project, one set of tokens, one access key, one clock, one set of faults."""

    def __init__(
        self,
        listings: Mapping[str, Listing],
        tokens: Tokens,
        signatures: Signatures,
        clock: Clock,
        faults: Faults,
    ) -> None:
        self.listings = listings
        self.tokens = tokens
        self.signatures = signatures
        self.clock = clock
        self.faults = faults
        self.faults_of: dict[str, Faults] = {}  # Of a project alone, in the place of those of all.
        self.billing = Billing()
        self.requests = Requests()
        # What listing requests are answered with instead, by how their path ends.
        self.overrides: dict[str, Answer] = {}
        self._lock = threading.RLock()
        self._epoch = 0

    def answer(self, received: Received) -> Answer:
        """The answer to a request, which is put on record; requests are answered one at a time."""
        with self._lock:
            self.requests.append(received)
            try:
                answer = self._routed(received)
            except Declined as declined:
                answer = declined.answer
            received.status = answer.status
            usual = {"Content-Type": "application/json", "Date": http_date(self.clock.now_us())}
            return replace(answer, headers={**usual, **answer.headers})

    def replace_source(self, project_id: str, source: Source) -> None:
        """List other rows for a project from now on."""
        with self._lock:
            self.listings[project_id].source = source

    def documents(self, project_id: str) -> list[bytes]:
        """The documents of a project as they are now."""
        now_us = self.clock.now_us()
        with self._lock:
            return [row.body(now_us) for row in self.listings[project_id].rows(now_us)]

    def ids_throughout(self, project_id: str) -> set[str]:
        """The ids that were listed at every instant since the requests were last cleared."""
        with self._lock:
            self._forget_if_cleared()
            return self.listings[project_id].ids_throughout(self.clock.now_us())

    def _routed(self, received: Received) -> Answer:
        if (received.method, received.path) == ("POST", TOKENS_PATH):
            if self.faults.fail_next_token:
                return self.faults.fail_next_token.pop(0)
            return self.tokens.grant(received.body)
        if (received.method, received.path) == ("GET", PROJECTS_PATH):
            self._let_in(received, None)
            return self.tokens.projects()
        if (received.method, received.path) == ("POST", RATINGS_PATH):
            self._let_in(received, None)
            return self.billing.answer(received.body)
        match (received.method, received.path.split("/")):
            case ("GET", ["", "v1", project_id, "demanager", "instances"]) if project_id:
                return self._listed(received, project_id, self._page)
            case ("GET", ["", "v1", project_id, "notebooks"] | ["", "v1", project_id, "notebooks", "all"]):
                return self._listed(received, project_id, self._notebooks)
            case ("GET", ["", "v1", project_id, "notebooks", "flavors"]):
                return self._listed(received, project_id, self._flavors)
        return answers.NOT_PUBLISHED

    def _listed(self, received: Received, project_id: str, answering: Answering) -> Answer:
        self._forget_if_cleared()
        faults, now_us = self.faults_of.get(project_id, self.faults), self.clock.now_us()
        broken = faults.scripted(len(self.requests)) or faults.throttled(now_us)
        if broken is not None:
            return broken
        self._let_in(received, project_id)
        given = [answer for end, answer in self.overrides.items() if received.path.endswith(end)]
        listing = self.listings[project_id]
        return faults.delivered(given[-1] if given else answering(received, listing, now_us, faults))

    def _let_in(self, received: Received, project_id: str | None) -> None:
        """Raise Declined unless the request is signed with the access key, or carries a good token; without a
        project, one of any will do."""
        headers = received.headers
        if headers.get("authorization", "").startswith(ALGORITHM):
            signed = Signed(received.method, received.path, received.query, headers, received.body)
            self.signatures.check(signed, project_id)
        else:
            self.tokens.use(headers.get("x-auth-token"), project_id, self.faults.expire_token_after)

    def _page(self, received: Received, listing: Listing, now_us: int, faults: Faults) -> Answer:
        query = read_query(received.params)
        rows = listing.select(query, now_us, faults)
        cut = paging.page(rows, query, faults)
        body = paging.body(cut, len(rows), faults, now_us)
        if query.is_plain and listing.verbatim and paging.is_whole(cut, rows, faults):
            body = listing.verbatim
        listing.drift(rows, query, now_us, faults)
        return Answer(200, body)

    def _notebooks(self, received: Received, listing: Listing, now_us: int, faults: Faults) -> Answer:
        """A page of the successor, whose rows are those of the same listing."""
        query = read_notebook_query(received.params, own_only=not received.path.endswith("/all"))
        rows = notebooks.chosen(listing.select(query.rows, now_us, faults), query, now_us)
        cut, told = notebooks.page(paging.page(rows, query.rows, faults), len(rows), query.rows, now_us)
        body = paging.notebook_body(cut, told, len(rows), faults)
        listing.drift(rows, query.rows, now_us, faults)
        return Answer(200, body)

    def _flavors(self, received: Received, listing: Listing, now_us: int, faults: Faults) -> Answer:
        """All flavors; what goes wrong with a listing goes well here."""
        found = notebooks.flavors()
        told = {"current": 0, "pages": 1, "size": len(found)}
        return Answer(200, paging.notebook_body(found, told, len(found), Faults()))

    def _forget_if_cleared(self) -> None:
        if self._epoch != self.requests.epoch:
            self._epoch = self.requests.epoch
            for listing in self.listings.values():
                listing.forget()
