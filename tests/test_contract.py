"""What the reference does not have is kept in every mode; the mode says who is told, and what fails."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import Result
from support import Row, document, environment_for, one_line, rows_of, run

from etl.emulator import Emulator
from etl.emulator.answers import Answer
from etl.lake import Lake

PLAIN: list[Row] = [document(1), document(2)]
ODD: list[Row] = [
    document(1, mood={"today": "good"}, spec={"extend_storage": [{"type": "evs", "tier": 1}, {"tier": 2}]}),
    document(2, mood="bad", latest_update_timestamp="soon", status="DREAMING"),
    {"name": "no id"},
]
UNKNOWN = [
    "odd value a whole document is no usable id, once",
    "odd value latest_update_timestamp is not a time in milliseconds, once",
    "unknown field mood, 2 times",
    "unknown field spec.extend_storage[].tier, 2 times",
    "unknown status DREAMING, once",
]


def sweeps(lake: Path, *listings: list[Row], **settings: str) -> list[Result]:
    """What the command says of sweeps of these listings, one after the other."""
    results = []
    with Emulator.of_documents([]) as service:
        for documents in listings:
            service.documents = list(documents)
            environment = environment_for(service, lake, **settings)
            results.append(run(environment))
            service.clock.advance(minutes=15)
    return results


def test_by_default_the_service_may_evolve_and_nobody_is_told(tmp_path: Path) -> None:
    (result,) = sweeps(tmp_path / "lake", ODD)
    assert (result.exit_code, result.stderr) == (0, "")


def test_a_warning_is_given_once_for_each_new_kind_of_thing_with_its_count(tmp_path: Path) -> None:
    results = sweeps(tmp_path / "lake", PLAIN, ODD, ODD, DEMETER_CONTRACT="warn")
    assert [result.exit_code for result in results] == [0, 0, 0]
    assert [result.stderr.splitlines() for result in results] == [
        [],
        [f"demeter: new: {line}" for line in UNKNOWN],
        [],
    ]


def test_a_strict_contract_fails_while_it_is_broken_and_loses_nothing(tmp_path: Path) -> None:
    results = sweeps(tmp_path / "strict", PLAIN, ODD, ODD, DEMETER_CONTRACT="strict")
    assert [result.exit_code for result in results] == [0, 4, 4]
    last = one_line(results[2])
    assert all(line in last for line in UNKNOWN)
    sweeps(tmp_path / "evolve", PLAIN, ODD, ODD)
    strict, evolve = (
        sorted(
            (row["instance_id"], row["change"], row["status"])
            for row in rows_of(Lake(tmp_path / name), "instance_history")
        )
        for name in ("strict", "evolve")
    )
    assert strict == evolve
    assert {row["verdict"] for row in rows_of(Lake(tmp_path / "strict"), "sweeps")} == {"complete"}


@pytest.mark.parametrize(
    ("setting", "value", "status"),
    [
        ("QUARANTINE_ROWS", "2", 0),
        ("QUARANTINE_ROWS", "1", 4),
        ("QUARANTINE_SHARE", "0.9", 4),
        ("QUARANTINE_SHARE", "1", 0),
    ],
)
def test_too_much_in_quarantine_fails_a_sweep_that_is_kept(
    setting: str, value: str, status: int, tmp_path: Path
) -> None:
    (result,) = sweeps(tmp_path / "lake", ODD, **{f"DEMETER_{setting}": value})
    assert result.exit_code == status, result.stderr
    assert "2 instance" in result.stdout
    assert not status or setting.lower() in one_line(result)


def test_a_listing_that_is_not_complete_is_told_before_a_broken_contract(tmp_path: Path) -> None:
    with Emulator.of_documents(ODD) as service:
        service.faults.total_count = 9
        environment = environment_for(service, tmp_path / "a", DEMETER_CONTRACT="strict")
        assert run(environment).exit_code == 3
        service.faults.total_count = None
        service.faults.fail_at_request = dict.fromkeys(range(1, 90), Answer(403, json.dumps({}).encode()))
        service.requests.clear()
        assert run(environment | {"DEMETER_LAKE": str(tmp_path / "b")}).exit_code == 5


def test_an_unknown_mode_is_refused(tmp_path: Path) -> None:
    (result,) = sweeps(tmp_path / "lake", PLAIN, DEMETER_CONTRACT="lax")
    assert result.exit_code == 2
    assert "one of evolve, warn, strict" in one_line(result)
