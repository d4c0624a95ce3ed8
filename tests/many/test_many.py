"""Three hundred projects are swept in one run, whatever becomes of some of them."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

from click.testing import CliRunner
from support import document

from etl import query
from etl.cli import main
from etl.emulator import ERRORS, Answer, Clock, Emulator
from etl.emulator.faults import Faults
from etl.emulator.rows import Documents
from etl.lake import Lake

COUNT = 300
# Spread over the projects, each with the exit status that it ends with.
WRONG = {
    20: (Faults(answer=ERRORS["token_invalid"]), "5"),
    80: (Faults(answer=ERRORS["no_permission"]), "5"),
    140: (Faults(answer=ERRORS["empty"]), "6"),
    200: (Faults(answer=Answer(200, b"<html>")), "6"),
    260: (Faults(total_count=500), "3"),
}


def test_three_hundred_projects_are_swept_in_one_run_and_none_is_lost(tmp_path: Path) -> None:
    ids = [f"{number:032x}" for number in range(COUNT)]
    fleets = {each: Documents([document(1), document(2, name=each)]) for each in ids}
    told, lake = tmp_path / "told.csv", Lake(tmp_path / "lake")
    with Emulator(clock=Clock.at("2026-10-12T00:00:00Z"), fleets=fleets) as service:
        service.faults_of.update({ids[number]: faults for number, (faults, _) in WRONG.items()})
        environment = {
            "DEMETER_LAKE": str(lake.path),
            "DEMETER_ENDPOINT": service.endpoint,
            "DEMETER_IAM_ENDPOINT": service.endpoint,
            "DEMETER_DOMAIN": service.domain,
            "DEMETER_USER": service.user,
            "DEMETER_PASSWORD": service.password,
            "DEMETER_DISCOVER": "true",
            "DEMETER_REQUESTS_PER_SECOND": "1000",
            "DEMETER_ATTEMPTS": "2",
        }
        result = CliRunner().invoke(main, ["sweep", "--all", "-o", str(told)], env=environment)
    assert result.exit_code == 5, result.stderr
    with told.open(newline="") as file:
        ended = {row["project_id"]: row for row in csv.DictReader(file)}
    wrong = {ids[number]: status for number, (_, status) in WRONG.items()}
    assert {key: row["exit_status"] for key, row in ended.items()} == dict.fromkeys(ids, "0") | wrong
    verdicts = Counter(row["verdict"] for row in ended.values())
    assert verdicts == {"complete": COUNT - 5, "failed": 4, "incomplete": 1}
    # What came of a listing that is not complete is kept as well.
    swept = set(ids) - {ids[number] for number in (20, 80, 140, 200)}
    rows = query.run(lake, "select project_id, name from instances order by all").to_pylist()
    assert rows == sorted(
        ({"project_id": key, "name": name} for key in swept for name in (key, "notebook-1")),
        key=lambda row: (row["project_id"], row["name"]),
    )
    committed = query.run(lake, "select project_id, verdict from sweeps").to_pylist()
    assert {row["project_id"]: row["verdict"] for row in committed} == {
        key: row["verdict"] for key, row in ended.items()
    }
