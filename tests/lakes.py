"""Small lakes, made as users make theirs: by sweeps of an emulated service."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from support import committed, swept

from etl.build import build
from etl.emulator import Clock, Emulator, Fleet, FleetSettings
from etl.emulator.rows import Documents
from etl.lake import Lake
from etl.settings import Settings

MIDNIGHT = "2026-10-12T00:00:00Z"
MIDNIGHT_MS = 1_791_763_200_000
HOUR_MS = 3_600_000


def sweep_into(directory: Path, service: Emulator, project_id: str | None = None) -> Lake:
    """Sweep a project of the service, its first unless named, into the lake of a directory."""
    project_id = project_id or service.project_id
    lake = Lake(directory)
    found = swept(service, lake, project_id=project_id, token=service.token_of(project_id))
    assert (found.verdict, found.error) == ("complete", None)
    return lake


def of_fleet(directory: Path) -> Lake:
    """The lake of a fleet that four sweeps saw over half a day, with queues and failures."""
    fleet = Fleet(FleetSettings(instances=60, seed=7, start=MIDNIGHT, failure_share=0.1, free_share=1.0))
    with Emulator(fleet, Clock.at(MIDNIGHT)) as service:
        for _ in range(4):
            lake = sweep_into(directory, service)
            service.clock.advance(hours=4)
    return lake


def instance(number: int, status: str | None = "STOPPED", **fields: Any) -> dict[str, Any]:
    """The document of an instance that was created so many hours before midnight."""
    return {
        "id": f"DE-{number}",
        "name": f"notebook-{number}",
        "status": status,
        "creation_timestamp": str(MIDNIGHT_MS - number * HOUR_MS),
        "latest_update_timestamp": str(MIDNIGHT_MS - number * HOUR_MS),
        **fields,
    }


def with_flavor(name: str, **details: Any) -> dict[str, Any]:
    """The fields of an instance that runs on a flavor."""
    return {"flavor": name, "flavor_details": {"name": name, **details}}


ASCEND = with_flavor("ascend.2", type="ASCEND", params={"NPU": 2, "type": "Ascend 910"})
CPU = with_flavor("cpu.2u", type="CPU", params={"CPU": 2})
ANN = {"user": {"id": "u-ann", "name": "ann"}}
BO = {"user": {"id": "u-bo", "name": "bo"}}
POOL = {"pool": {"id": "pool-1", "name": "vision", "type": "USER_DEFINED"}}
STOPS = {"spec": {"auto_stop": {"enable": True, "duration": 3600}}}
NEVER_STOPS = {"spec": {"auto_stop": {"enable": False}}}
QUEUE = {"id": "DE-7", "flavor": "cpu.free", "status": "CREATE_QUEUING", "rank": 3, "remain_time": 600}
FREE = with_flavor("cpu.free", type="CPU", queuing_num=4)


def states() -> Iterator[list[dict[str, Any]]]:
    """What three sweeps see: instance 1 stops and starts again, and 2 is renamed as it runs."""
    failed = {"spec": {"failed_reasons": {"code": "ModelArts.6360", "message": "no resources"}}}
    others = [
        instance(3, **ANN, **CPU, workspace={"id": "0"}),
        instance(4, "RUNNING", **BO, **POOL, **CPU, **STOPS, workspace={"id": "0"}),
        instance(5, "CREATE_FAILED", **BO, **ASCEND, **failed, error_code="ModelArts.6360"),
        instance(6, "START_FAILED", error_code="ModelArts.6329", latest_update_timestamp="soon"),
        instance(7, "CREATE_QUEUING", **ANN, **FREE, queuing_info=QUEUE),
        instance(8, None, mood={"today": "good"}, ai_project={"id": "ai-1"}),
    ]
    for first, name in (("RUNNING", "before"), ("STOPPED", "between"), ("RUNNING", "after")):
        one = instance(1, first, **ANN, **POOL, **ASCEND, **NEVER_STOPS)
        two = instance(2, "RUNNING") | {"name": name}
        yield [one, two, *others]


def of_documents(directory: Path) -> Lake:
    """The lake of eight instances, hour by hour as `states` tells them."""
    with Emulator.of_documents([], Clock.at(MIDNIGHT)) as service:
        for documents in states():
            service.documents = documents
            lake = sweep_into(directory, service)
            service.clock.advance(hours=1)
    return lake


VOLUME = {"storage": {"type": "evs", "location": {"volume_size": 5, "volume_unit": "GB"}}}
FREE_TERMS = with_flavor("cpu.free", type="CPU", promo_type="Free")
PAIRED = with_flavor("gpu.2", type="GPU", params={"GPU": 2}, billing_flavor="gpu", billing_params=2)
ODD = with_flavor("odd.1")
PRICES = """sku,region,kind,unit,currency,unit_price,valid_from,valid_to
ascend.2,,compute,hour,CNY,10,,
cpu.2u,,compute,hour,CNY,1.2,,
cpu.free,,compute,hour,CNY,0.3,,
gpu,,compute,hour,CNY,4,,
modelarts.storage.volume,,storage,gb_hour,CNY,0.0014,,
pool-1,,pool,hour,CNY,30,,
"""
HOURS = (0, 1, 12, 24, 30)
PROJECTS = ("a" * 32, "b" * 32)


def lives(hour: int) -> list[dict[str, Any]]:
    """What is there at an hour after midnight: some run, some wait, stop or fail, and some keep disks."""
    ended = {"latest_update_timestamp": str(MIDNIGHT_MS + 6 * HOUR_MS)}
    begun = {"begin_timestamp": MIDNIGHT_MS, "status": "START_QUEUING", "flavor": "cpu.free", "id": "DE-6"}
    return [
        instance(1, "RUNNING", **ANN, **POOL, **ASCEND)
        if hour < 12
        else instance(1, "STOPPED", **ANN, **POOL, **ASCEND) | ended,
        instance(2, "RUNNING"),
        instance(3, "STOPPED", **ANN, **CPU, spec=VOLUME),
        instance(4, "RUNNING", **BO, **CPU, **NEVER_STOPS, workspace={"id": "0"}, ai_project={"id": "ai-1"}),
        instance(5, "STARTING" if hour < 12 else "START_FAILED", **BO, **ODD),
        instance(6, "RUNNING", **ANN, **FREE_TERMS)
        if hour >= 12
        else instance(6, "START_QUEUING", **ANN, **FREE_TERMS, queuing_info=begun),
        instance(7, "START_QUEUING", **ANN, queuing_info=begun | {"id": "DE-7", "flavor": "gpu.2"}),
        instance(8, "RUNNING", **BO, **PAIRED, spec=VOLUME),
        instance(9, "RUNNING", **BO, **ODD, **POOL),
    ]


def of_lives(directory: Path) -> Lake:
    """The built and priced lake of two projects, whose days are those of UTC: the first was seen for 30
    hours, the second for 24 of the same."""
    lake = Lake(directory / "lake")
    for hour in HOURS:
        seen = Documents(lives(hour))
        clock = Clock.at(f"2026-10-{12 + hour // 24}T{hour % 24:02}:00:00Z")
        with Emulator(clock=clock, fleets=dict.fromkeys(PROJECTS, seen)) as service:
            for project in PROJECTS if hour in (0, 24) else PROJECTS[:1]:
                found = committed(service, lake, project_id=project, token=service.token_of(project))
                assert (found.verdict, found.error) == ("complete", None)
    (directory / "prices.csv").write_text(PRICES, encoding="utf-8")
    build(Settings(tz="UTC", prices=str(directory / "prices.csv")), lake)
    return lake
