"""Raw pages: every page of a sweep as it was received, a line each, for resuming and replaying."""

from __future__ import annotations

import heapq
import json
import logging
import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import IO, Any

import pyarrow as pa

from etl.apis import NOTEBOOKS, resource
from etl.page import Page

log = logging.getLogger("demeter")

PLAN = "plan.json"


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
    """The directory that takes the pages of one sweep; safe to share between threads."""

    def __init__(self, directory: Path, plan: Plan) -> None:
        self.directory = directory
        directory.mkdir(parents=True)
        (directory / PLAN).write_text(json.dumps(asdict(plan)) + "\n", encoding="utf-8")
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

    def _append(self, slice_number: int, line: str) -> None:
        if slice_number not in self._files:
            path = self.directory / f"slice-{slice_number:05d}.jsonl.zst"
            self._files[slice_number] = path.open("ab", buffering=0)
        self._files[slice_number].write(_frame(line))


def read_plan(directory: Path) -> Plan | None:
    """The plan of a landed sweep; None where it is missing or cut off."""
    try:
        values = json.loads((directory / PLAN).read_text(encoding="utf-8"))
        return Plan(**{**values, "slices": tuple(values["slices"])})
    except (OSError, ValueError, KeyError, TypeError):
        return None


def lines(directory: Path, slice_number: int) -> Iterator[dict[str, Any]]:
    """The whole lines of a slice's pages, up to where a killed run cut them off, or where one cannot be read.

    Each has `page`, `observed_at`, `repaired` and, as text, `body`; `order` is where it came among the
    pages of all slices.
    """
    path = directory / f"slice-{slice_number:05d}.jsonl.zst"
    if not path.exists():
        return
    try:
        for line in _whole_lines(path):
            head, _, body = line.partition(', "body": ')
            if body:
                values = json.loads(head + "}")
                values["observed_at"] = datetime.fromisoformat(values["observed_at"])
                yield {**values, "body": body[:-1]}
    except (OSError, ValueError, KeyError) as error:
        log.warning("%s cannot be read to its end: %s", path, error)


def pages(directory: Path, scope: str) -> Iterator[RawPage]:
    """The pages of a landed sweep in the order in which they came, as far as they can be read.

    What the plan does not have as a slice is about what the sweep's scope is. ValueError where there is no
    plan, and one has to be to tell flavors from instances.
    """
    plan = read_plan(directory)
    if plan is None and resource(scope).api == NOTEBOOKS:
        raise ValueError("the plan is missing or cut off")
    filters = dict(enumerate(plan.slices if plan else ()))
    numbers = sorted(int(path.name[6:11]) for path in directory.glob("slice-*.jsonl.zst"))
    listed = (_numbered(directory, number) for number in numbers)
    for number, line in heapq.merge(*listed, key=lambda each: each[1].get("order", 0)):
        of = resource(filters.get(number, scope))
        page = Page(line["body"], (), 0, line["observed_at"], line["repaired"], resource=of)
        yield RawPage(number, line["page"], page)


def change(path: Path, change: Callable[[str], str]) -> None:
    """Change the lines of a file of pages, which becomes another one at once; what is cut off is dropped."""
    temporary = path.with_name(f".{path.name}")
    differs = not _is_whole(path)
    with temporary.open("wb") as file:
        for line in _whole_lines(path):
            changed = change(line)
            differs |= changed != line
            file.write(_frame(changed + "\n"))
        file.flush()
        os.fsync(file.fileno())
    if differs:
        temporary.replace(path)
    else:
        temporary.unlink()


def _is_whole(path: Path) -> bool:
    """Whether a compressed file ends with the end of a line."""
    last = b"\n"
    with pa.input_stream(str(path), compression="zstd") as stream:
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


def _numbered(directory: Path, number: int) -> Iterator[tuple[int, dict[str, Any]]]:
    for line in lines(directory, number):
        yield number, line


def _require_whole(error: OSError) -> None:
    """Raise an error of the disk; one that only says that a file breaks off has no number."""
    if error.errno:
        raise error


def _whole_lines(path: Path) -> Iterator[str]:
    """The lines of a compressed file, up to where it breaks off."""
    rest = b""
    with pa.input_stream(str(path), compression="zstd") as stream:
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
