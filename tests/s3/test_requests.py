"""What a lake in an object store costs in requests: no more than its page says, and not much less."""

from __future__ import annotations

import re
from pathlib import Path

from conftest import ObjectStore
from support import settings_for, swept

from etl.build import build
from etl.emulator import Clock, Emulator, Fleet, FleetSettings
from etl.lake import Lake
from etl.query import run

PAGE = Path(__file__).parents[2] / "docs" / "object-stores.md"
COUNTED = ("PUT", "GET", "HEAD", "LIST", "DELETE")
START = "2026-10-12T00:00:00Z"


def told() -> dict[str, dict[str, int]]:
    """The table of the page: of each work, how many requests of each kind it takes."""
    text = PAGE.read_text(encoding="utf-8")
    rows = re.findall(r"^\| ([a-z][^|]+?) \|((?: \d+ \|){5})$", text, re.MULTILINE)
    return {
        work: dict(zip(COUNTED, map(int, re.findall(r"\d+", counts)), strict=True)) for work, counts in rows
    }


def test_the_page_tells_what_a_sweep_a_build_and_a_query_ask_for(object_store: ObjectStore, url: str) -> None:
    fleet = Fleet(FleetSettings(instances=300, seed=7, start=START))
    found = {}
    with Emulator(fleet, Clock.at(START)) as service:
        settings = settings_for(service, url, tz="UTC")
        object_store.asked()
        for work in ("the first sweep", "a sweep", "a sweep"):
            swept(service, Lake(url))
            found[work] = object_store.asked()
            service.clock.advance(minutes=15)
        for work in ("the first build", "a build of nothing new"):
            build(settings, Lake(url))
            found[work] = object_store.asked()
    run(Lake(url), "select count(*) from instances")
    found["a query of one table"] = object_store.asked()
    page = told()
    assert page.keys() == found.keys()
    for work, counts in found.items():
        for kind in COUNTED:
            # A lease may be renewed once more; what is told is rounded up.
            assert (work, kind, counts.get(kind, 0)) <= (work, kind, page[work][kind])
            assert counts.get(kind, 0) >= page[work][kind] // 2
