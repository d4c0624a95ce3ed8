"""Small lakes, made as users make theirs: by sweeps of an emulated service."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from support import swept

from etl.emulator import Clock, Emulator, Fleet, FleetSettings
from etl.lake import Lake

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
