"""Raw pages: every page of a sweep as it was received, a line each, for resuming and replaying."""

from __future__ import annotations

import heapq
import json
import logging
import os
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import IO, Any

import pyarrow as pa

from etl.apis import NOTEBOOKS, resource
from etl.page import Page
from etl.places import Place

log = logging.getLogger("demeter")

PLAN = "plan.json"
SLICE = re.compile(r"slice-([0-9]+)\.jsonl\.zst")


@dataclass(frozen=True)
class Plan:
    """What a sweep set out to list; `slices` are the filters, as query strings, of its slices.

    `resumes` is the first sweep of those that it goes on from, whose pages are the oldest.
    """

    sweep_id: str
    project_id: str
    scope: str
    slices: tuple[str, ...]
    resumes: str = ""


@dataclass(frozen=True)
class RawPage:
    """A page and where in its sweep it came."""

    slice: int
    number: int
    page: Page


class Landing:
    """The folder that takes the pages of one sweep; safe to share between threads.

    They are landed on this machine, each as it comes, and are where they belong when the folder is closed.
    """

    def __init__(self, folder: Place, plan: Plan) -> None:
        self.folder = folder
        self._directory = folder.store.landing(folder.path)
        self._directory.mkdir(parents=True)
        (self._directory / PLAN).write_text(json.dumps(asdict(plan)) + "\n", encoding="utf-8")
        self._files: dict[int, IO[bytes]] = {}
        self._numbers: dict[int, int] = {}
        self._order = 0
        self._lock = threading.Lock()

    def land(self, slice_number: int, page: Page) -> RawPage:
        """Append a page to its slice's file."""
        body = page.body.replace("\n", " ").replace("\r", " ")
        head: dict[str, Any] = {"observed_at": page.observed_at.isoformat(), "repaired": page.repaired}
        with self._lock:
            head["order"] = self._order = self._order + 1
            number = self._numbers[slice_number] = self._numbers.get(slice_number, 0) + 1
            line = f'{json.dumps({"page": number, **head})[:-1]}, "body": {body}}}\n'
            self._append(slice_number, line)
        return RawPage(slice_number, number, page)

    def land_unreadable(self, slice_number: int, body: bytes, reason: str) -> None:
        """Append an answer that is no page, for whoever has to find out why."""
        text = body.decode(errors="backslashreplace")
        with self._lock:
            self._append(slice_number, json.dumps({"unreadable": reason, "text": text}) + "\n")

    def close(self) -> None:
        """Make the pages durable."""
        for file in self._files.values():
            file.flush()
            os.fsync(file.fileno())
            file.close()
        self._files.clear()
        self.folder.store.deliver(self.folder.path)

    def _append(self, slice_number: int, line: str) -> None:
        if slice_number not in self._files:
            path = self._directory / f"slice-{slice_number:05d}.jsonl.zst"
            self._files[slice_number] = path.open("ab", buffering=0)
        self._files[slice_number].write(_frame(line))


def read_plan(folder: Place) -> Plan | None:
    """The plan of a landed sweep; None where it is missing or cut off."""
    try:
        values = (folder / PLAN).json()
        return Plan(**{**values, "slices": tuple(values["slices"])})
    except (OSError, ValueError, KeyError, TypeError):
        return None


def lines(folder: Place, slice_number: int) -> Iterator[dict[str, Any]]:
    """The whole lines of a slice's pages, up to where a killed run cut them off, or where one cannot be read.

    Each has `page`, `observed_at`, `repaired` and, as text, `body`; `order` is where it came among the
    pages of all slices.
    """
    place = folder / f"slice-{slice_number:05d}.jsonl.zst"
    try:
        for line in _whole_lines(place):
            head, _, body = line.partition(', "body": ')
            if body:
                values = json.loads(head + "}")
                values["observed_at"] = datetime.fromisoformat(values["observed_at"])
                yield {**values, "body": body[:-1]}
    except FileNotFoundError:
        return
    except (OSError, ValueError, KeyError) as error:
        log.warning("%s cannot be read to its end: %s", place, error)


def pages(folder: Place, scope: str) -> Iterator[RawPage]:
    """The pages of a landed sweep in the order in which they came, as far as they can be read.

    What the plan does not have as a slice is about what the sweep's scope is. ValueError where there is no
    plan, and one has to be to tell flavors from instances.
    """
    plan = read_plan(folder)
    if plan is None and resource(scope).api == NOTEBOOKS:
        raise ValueError("the plan is missing or cut off")
    filters = dict(enumerate(plan.slices if plan else ()))
    slices = (SLICE.fullmatch(each.name) for each in folder.files(deep=False))
    listed = (_numbered(folder, int(each[1])) for each in slices if each)
    for number, line in heapq.merge(*listed, key=lambda each: each[1].get("order", 0)):
        of = resource(filters.get(number, scope))
        page = Page(line["body"], (), 0, line["observed_at"], line["repaired"], resource=of)
        yield RawPage(number, line["page"], page)


def change(place: Place, change: Callable[[str], str]) -> None:
    """Change the lines of a file of pages, which becomes another one at once; what is cut off is dropped."""
    draft = place.store.draft(place.path)
    differs = not _is_whole(place)
    with draft.open("wb") as file:
        for line in _whole_lines(place):
            changed = change(line)
            differs |= changed != line
            file.write(_frame(changed + "\n"))
        file.flush()
        os.fsync(file.fileno())
    if differs:
        place.store.put(draft, place.path)
    else:
        draft.unlink()


def _is_whole(place: Place) -> bool:
    """Whether a compressed file ends with the end of a line."""
    last = b"\n"
    with place.open() as file, pa.input_stream(file, compression="zstd") as stream:
        try:
            while chunk := stream.read(1 << 22):
                last = chunk[-1:]
        except OSError as error:
            _require_whole(error)
            return False
    return last == b"\n"


def _frame(line: str) -> bytes:
    """A line as it stands in a file of pages."""
    return bytes(pa.Codec("zstd").compress(line.encode(), asbytes=True))


def _numbered(folder: Place, number: int) -> Iterator[tuple[int, dict[str, Any]]]:
    for line in lines(folder, number):
        yield number, line


def _require_whole(error: OSError) -> None:
    """Raise an error of the disk; one that only says that a file breaks off has no number."""
    if error.errno:
        raise error


def _whole_lines(place: Place) -> Iterator[str]:
    """The lines of a compressed file, up to where it breaks off."""
    rest = b""
    with place.open() as file, pa.input_stream(file, compression="zstd") as stream:
        while True:
            try:
                chunk = stream.read(1 << 22)
            except OSError as error:
                _require_whole(error)
                return
            if not chunk:
                return
            *whole, rest = (rest + chunk).split(b"\n")
            yield from (line.decode() for line in whole)
