"""Read slices of a listing side by side: fetch and land each page as it comes, and stage it meanwhile."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from contextvars import copy_context
from dataclasses import replace
from datetime import datetime

import duckdb

from etl import apis, raw
from etl.answer import Answer, BadRequest
from etl.client import Client
from etl.errors import DemeterError
from etl.flatten import Staging
from etl.listing import Outcome, RequestRefused, list_all
from etl.page import BadPage, Page, read_page
from etl.places import Place
from etl.pseudonyms import hide_persons
from etl.stages import stage, timed
from etl.transport import TooLarge

BATCH_BYTES = 4_000_000

Progress = Callable[[int, int], None]


@contextmanager
def _without_gc() -> Iterator[None]:
    """Values of JSON have no cycles: looking for some among them takes as long as reading them."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


class Reader:
    """Reads what a sweep lists; `slices` are the filters listed so far, each with its outcome."""

    def __init__(self, client: Client, staging: Staging, landing: raw.Landing, progress: Progress) -> None:
        self.client, self.staging, self.landing, self.progress = client, staging, landing, progress
        self.slices: list[tuple[str, Outcome]] = []
        self.error: DemeterError | None = None
        self.observed_from: datetime | None = None
        self.observed_to: datetime | None = None
        self._batch: list[raw.RawPage] = []
        self._batch_bytes = 0
        self._staged: Future[None] = Future()
        self._staged.set_result(None)
        self._rows = 0
        self._lock = threading.Lock()
        self._local = threading.local()

    def read(self, filters: Sequence[str], before: Place | None = None) -> list[Outcome]:
        """List slices side by side and say how each ended; their rows are staged then.

        `before` is a folder of raw pages to go on from. The first error is kept in `error`.
        """
        first = len(self.slices)
        self.slices += [(each, Outcome()) for each in filters]
        workers = min(self.client.settings.concurrency, len(filters))
        with _without_gc(), ThreadPoolExecutor(1) as self._stager, ThreadPoolExecutor(workers) as pool:
            numbers = range(first, len(self.slices))
            jobs = [pool.submit(copy_context().run, self._list, number, before) for number in numbers]
            wait(jobs)
            self._stage()
            self._staged.result()
        with timed("flatten"):
            self.staging.settle()
        outcomes = [outcome for _, outcome in self.slices[first:]]
        for job, outcome in zip(jobs, outcomes, strict=True):
            self._note_error(job, outcome)
        return outcomes

    def count(self, filters: Sequence[str]) -> tuple[int, datetime] | None:
        """The service's total of filters together, and when it said so first; None where it does not say."""
        try:
            pages = [self._fetch(text, 0, apis.resource(text).size(1), None) for text in filters]
        except (DemeterError, RequestRefused):
            return None
        return sum(page.total_count for page in pages), min(page.observed_at for page in pages)

    def _note_error(self, job: Future[None], outcome: Outcome) -> None:
        error = job.exception()
        if isinstance(error, RequestRefused):
            error = error.error
        if isinstance(error, DemeterError):
            outcome.verdict, outcome.reason = "failed", str(error)
            self.error = self.error or error
        elif error:
            raise error

    def _list(self, number: int, before: Place | None) -> None:
        text, outcome = self.slices[number]
        settings = self.client.settings
        with stage("slice", filter=text) as now:
            try:
                list_all(
                    lambda offset, limit: self._fetch(text, offset, limit, number),
                    lambda page: self._keep(number, page),
                    outcome,
                    settings.limit,
                    settings.one_answer_rows,
                    self._landed(before, number) if before else (),
                    apis.resource(text),
                )
            finally:
                now.found |= {"row_count": outcome.row_count, "page_count": outcome.page_count}

    def _fetch(self, text: str, offset: int, limit: int, number: int | None) -> Page:
        path, params = apis.request(self.client.settings.project_id, text, offset, limit)
        resource = apis.resource(text)

        def page_in(answer: Answer) -> Page:
            try:
                return self._read(answer.body, answer.date, resource)
            except BadPage as bad:
                if number is not None:
                    # Persons cannot be found in what is no JSON, so none of it is kept.
                    kept = b"" if self.client.settings.pseudonym_key else answer.body
                    self.landing.land_unreadable(number, kept, str(bad))
                raise

        try:
            return self.client.get(path, params, page_in)
        except (BadRequest, TooLarge) as error:
            raise RequestRefused(error) from None

    def _read(self, body: bytes, observed_at: datetime, resource: apis.Resource) -> Page:
        """The page in a body, with pseudonyms in the place of persons where they are wanted."""
        key = self.client.settings.pseudonym_key
        self.staging.expect(len(body), self._cursor())
        if not key:
            with timed("read"):
                return read_page(body, observed_at, self._cursor(), resource)
        try:
            page = read_page(body, observed_at, self._cursor(), resource)
        except BadPage:
            raise BadPage("the answer is no page (what it says is not told: pseudonym_key is set)") from None
        return replace(page, body=hide_persons(page.body, key), documents=None)

    def _keep(self, number: int, page: Page) -> None:
        """Land a page, and flatten when a batch of pages has come together."""
        with self._lock:
            with timed("land"):
                self._batch.append(self.landing.land(number, page))
            self._batch_bytes += len(page.body)
            self._rows += len(page.ids)
            self.observed_from = min(self.observed_from or page.observed_at, page.observed_at)
            self.observed_to = max(self.observed_to or page.observed_at, page.observed_at)
            self.progress(self._rows, page.total_count)
            if self._batch_bytes >= BATCH_BYTES:
                self._stage()

    def _stage(self) -> None:
        """Have the batch flattened while the next one is fetched; wait for the one before."""
        self._staged.result()
        self._staged = self._stager.submit(copy_context().run, self._flatten, self._batch)
        self._batch, self._batch_bytes = [], 0

    def _flatten(self, batch: list[raw.RawPage]) -> None:
        with timed("flatten"):
            self.staging.add(batch)

    def _landed(self, before: Place, number: int) -> Iterator[Page]:
        """The pages that an earlier sweep landed of a slice, landed again for this one."""
        resource = apis.resource(self.slices[number][0])
        for line in raw.lines(before, number):
            try:
                page = self._read(line["body"].encode(), line["observed_at"], resource)
            except BadPage:
                return
            page = replace(page, repaired=line["repaired"])
            self._keep(number, page)
            yield page

    def _cursor(self) -> duckdb.DuckDBPyConnection:
        """This thread's own way to the JSON functions."""
        if not hasattr(self._local, "cursor"):
            self._local.cursor = self.staging.connection.cursor()
        cursor: duckdb.DuckDBPyConnection = self._local.cursor
        return cursor
