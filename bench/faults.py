"""What a sweep and the tools of others make of each fault of the service: `make bench-faults`."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench import pages
from bench.others import Other, airbyte, dlt, service_of
from etl import views
from etl.client import Client
from etl.emulator import ERRORS, Answer, Emulator, Faults
from etl.lake import Lake
from etl.scope import Scope
from etl.settings import Settings
from etl.sweep import Sweep, list_and_commit

PAGE, COMMAND = "faults.md", "make bench-faults"
INSTANCES = 2000
LIMIT = 100
MOST = 10 * INSTANCES  # A tool that has got more rows would never end.
# Of dlt: with its defaults into Parquet files, and as wary as it can be told to be, merged into DuckDB.
WAYS = ("plain", "duckdb")
FOR_GOOD = range(11, 200)
HEAD = (
    "fault | >rows | >twice | >missed | verdict | >exit | >requests "
    "| dlt: rows / twice / missed | dlt, on its guard | Airbyte"
)

Make = Callable[[], Faults]


@dataclass(frozen=True)
class Case:
    """A fault, and the faults that make it."""

    name: str
    faults: Make
    settings: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Result:
    """What one sweep left: rows of `instances`, and those of them, or missing, that should not be."""

    rows: int
    twice: int
    missed: int
    verdict: str
    exit_status: int
    requests: int


def at(numbers: Sequence[int], answer: Answer) -> Make:
    """An answer to each of the requests of these numbers; 1 is the first."""
    return lambda: Faults(fail_at_request=dict.fromkeys(numbers, answer))


SLOW = Answer(200, b"", wait_seconds=30)

CASES = (
    Case("none", Faults),
    Case("5 rows inserted at the front per page", lambda: Faults(insert_per_page=5)),
    Case("5 rows appended at the end per page", lambda: Faults(append_per_page=5)),
    Case("5 rows deleted at the front per page", lambda: Faults(delete_per_page=5)),
    Case("5 rows deleted and 5 created per page", lambda: Faults(delete_and_create_per_page=5)),
    Case("the service caps pages at 50", lambda: Faults(page_cap=50)),
    Case("the service refuses a limit above 50", lambda: Faults(page_cap=50, cap_refuses=True)),
    Case("offsets rounded down to a page", lambda: Faults(page_aligned=True)),
    Case("the offset read as a page number", lambda: Faults(page_numbers=True)),
    Case("the offset ignored", lambda: Faults(ignore_offset=True)),
    Case("the offset ignored, and pages capped at 50", lambda: Faults(ignore_offset=True, page_cap=50)),
    Case(
        "an error for an offset past the end, 5 rows deleted per page",
        lambda: Faults(past_end_error=True, delete_per_page=5),
    ),
    Case("the order asked for ignored", lambda: Faults(ignore_sort=True)),
    Case("rows of equal age in another order each time", lambda: Faults(swap_ties=True)),
    Case("3 rows of each answer twice in it", lambda: Faults(duplicate_rows=3)),
    Case("one empty page", lambda: Faults(empty_pages=1)),
    Case("one HTTP 200 with `error_code`", at([4], ERRORS["ok_with_error_code"])),
    Case("two HTTP 500s", at([4, 5], ERRORS["nested"])),
    Case("an HTML 502", at([4], ERRORS["html"])),
    Case("a gateway's 503", at([4], ERRORS["gateway"])),
    Case("one HTTP 400 with `error_message`", at([4], ERRORS["demanager"])),
    Case("429 with Retry-After in seconds", lambda: Faults(throttle_after=9, throttle_seconds=3)),
    Case("429 with Retry-After as a date", lambda: Faults(throttle_after=9, throttle_header="date")),
    Case("429 without Retry-After", lambda: Faults(throttle_after=9, throttle_header="none")),
    Case("a body cut off", lambda: Faults(truncate_next=1)),
    Case("a body cut off under a fitting length", lambda: Faults(truncate_clean=1)),
    Case("the connection reset", lambda: Faults(reset_next=1)),
    Case("an answer later than the time-out", at([4], SLOW), settings={"timeout_seconds": 0.5}),
    Case("`total_count` as text", lambda: Faults(total_count="text")),
    Case("`total_count` absent", lambda: Faults(total_count="absent")),
    Case("`total_count` 10 too high", lambda: Faults(total_count=INSTANCES + 10)),
    Case("`total_count` 10 too low", lambda: Faults(total_count=INSTANCES - 10)),
    Case("503 for good from page 11 on", at(FOR_GOOD, ERRORS["gateway"])),
    Case("400 for good from page 11 on", at(FOR_GOOD, ERRORS["frozen"])),
    Case("401 for a ready token at page 11", lambda: Faults(expire_token_after=10)),
)


def documents() -> list[dict[str, Any]]:
    """The instances: one in ten is as old as the one before, none has more fields than a listing needs."""
    return [
        {
            "id": f"DE-{number:08d}-aaaa-11f0-8000-0255ac10003b",
            "name": f"notebook-{number}",
            "status": ("RUNNING", "STOPPED")[number % 2],
            "creation_timestamp": str(1_760_000_000_000 + 60_000 * (number - (number % 10 == 9))),
        }
        for number in range(INSTANCES)
    ]


def run(case: Case, folder: Path, **others: Any) -> Result:
    """The result of one sweep of a service with the fault."""
    with Emulator.of_documents(documents(), faults=case.faults()) as service:
        settings = settings_for(service, folder, **case.settings, **others)
        found = swept(settings)
        sent = len(service.requests)
        return result(found, service.ids_throughout(), Lake(settings.lake), sent)


def settings_for(service: Emulator, folder: Path, **others: Any) -> Settings:
    """The settings of a sweep of the service into a lake in the folder."""
    given: dict[str, Any] = {
        "lake": str(folder / "lake"),
        "endpoint": service.endpoint,
        "project_id": service.project_id,
        "limit": LIMIT,
        "requests_per_second": 1e6,
    }
    signed_in = {} if "user" in others else {"token": service.token}
    return Settings(**given | signed_in | others)


def swept(settings: Settings, scope: Scope | None = None, **options: Any) -> Sweep:
    """One sweep, which does not sleep between two tries."""
    client = options.pop("client", None) or Client(settings, sleep=lambda seconds: None)
    return list_and_commit(settings, scope or Scope(), Lake(settings.lake), client=client, **options)


def result(found: Sweep, throughout: set[str], lake: Lake, requests: int = 0) -> Result:
    """How the rows of `instances` compare with the ids that were there all the time."""
    with views.connect(lake) as connection:
        ids = [str(each) for (each,) in connection.execute("select instance_id from instances").fetchall()]
    missed, twice = len(throughout - set(ids)), len(ids) - len(set(ids))
    return Result(len(ids), twice, missed, found.verdict, exit_status(found), requests)


def exit_status(found: Sweep) -> int:
    """The exit status of `demeter sweep` after a sweep."""
    if found.error:
        return found.error.exit_status
    return 0 if found.verdict == "complete" else 3


def cells(case: Case, found: Result) -> list[str]:
    """What a row of the table says of a sweep."""
    missed = f"{found.missed:,}" if found.verdict != "complete" or not found.missed else "**!**"
    counts = (f"{found.rows:,}", f"{found.twice:,}", missed)
    return [case.name, *counts, found.verdict, str(found.exit_status), f"{found.requests:,}"]


def of_dlt(case: Case, way: str, tool: Other) -> str:
    """What dlt leaves of a run against the fault, read as its reader would."""
    with folder() as place, Emulator.of_documents(documents(), faults=case.faults()) as service:
        told = {**service_of(service, LIMIT), **case.settings, "folder": str(place), "way": way}
        tool.begin(told)
        status = tool.said()["status"]
        ids = [name for name, _ in tool.begin({**told, "read": True})]
        return others_cell(ids, service.ids_throughout(), failed=status != 0)


def of_airbyte(case: Case, tool: Other) -> str:
    """What Airbyte emits of a run against the fault; it has no time-out to set."""
    if case.settings:
        return "–"
    with Emulator.of_documents(documents(), faults=case.faults()) as service:
        said = tool.begin({**service_of(service, LIMIT), "most": MOST})
        if len(said["ids"]) > MOST:
            return "does not end"
        return others_cell(said["ids"], service.ids_throughout(), failed=bool(said["error"]))


def others_cell(ids: Sequence[str], throughout: set[str], *, failed: bool) -> str:
    """What came: of a run that ended as a success, rows that came twice or not at all stand out."""
    if failed:
        return f"fails, {len(ids):,} rows"
    wrong = (len(ids) - len(set(ids)), len(throughout - set(ids)))
    return " / ".join([f"{len(ids):,}", *(f"**{each:,}**" if each else "0" for each in wrong)])


@contextmanager
def folder() -> Iterator[Path]:
    """A folder that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="faults-") as name:
        yield Path(name)


def main() -> None:
    """Run every fault with every tool, and write the table into the page."""
    logging.disable(logging.WARNING)
    rows = []
    with dlt() as one, airbyte() as another:
        for case in CASES:
            with folder() as place:
                mine = cells(case, run(case, place))
            rows.append([*mine, *(of_dlt(case, way, one) for way in WAYS), of_airbyte(case, another)])
            print(" | ".join(rows[-1]), flush=True)
    pages.write(PAGE, COMMAND, pages.table(HEAD, rows))


if __name__ == "__main__":
    main()
