"""An instance whose document lost its usable id was listed all the same: it is in doubt, and not gone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from stories import DAY, Changes, Notebook, line_to
from support import Row, rows_of, views_of

from etl.build import build
from etl.dictionary import kept
from etl.lake import Lake
from etl.scope import Scope
from etl.settings import Settings

MINUTE = 60_000_000
A, B, C = (Notebook(number) for number in (1, 2, 3))


def unread(notebook: Notebook, *others: str) -> Notebook:
    """The instance as a document that does not say its id, nor these."""
    return replace(notebook, without=("id", *others))


def of_a(change: str) -> Changes:
    """The same change for all that belongs to the first instance and to nothing else."""
    labels = (("profile", "profile-1", "labels", key) for key in ("team", "tier"))
    return {
        "instances": {("DE-1",): change},
        "storage": {("DE-1", 0): change},
        "profiles": {("profile-1",): change},
        "provisions": {("profile-1",): change},
        "attributes": dict.fromkeys(labels, change),
    }


STORY: dict[str, tuple[list[Notebook], float, Changes | None]] = {
    "two instances": ([A, B], 900, None),
    "one lost its id: it is unread, with what hangs on it and what only it refers to": (
        [unread(A), B],
        900,
        of_a("unread"),
    ),
    "it still has none: nothing is new": ([unread(A), B], 900, {}),
    "the next day begins with it too": ([unread(A), B], DAY, of_a("unread")),
    "its id is back: it is written, though nothing has changed": ([A, B], 900, of_a("keyframe")),
    "it left": ([B], 900, of_a("gone")),
}


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> tuple[Lake, list[str], list[Changes]]:
    """The lake of the story, its sweeps and what each wrote of the first instance."""
    with line_to(tmp_path_factory.mktemp("story")) as line:
        for notebooks, after, _ in STORY.values():
            assert line.sweep(notebooks, after) == "complete"
        return line.lake, line.sweeps, [about_a(each) for each in line.changes()]


def about_a(changes: Changes) -> Changes:
    """What of the changes is about the first instance."""
    named = {
        name: {key: change for key, change in rows.items() if {"DE-1", "profile-1"} & set(key)}
        for name, rows in changes.items()
    }
    return {name: rows for name, rows in named.items() if rows}


@pytest.mark.parametrize("step", [step for step, (_, _, due) in STORY.items() if due is not None])
def test_an_instance_that_lost_its_id_is_unread_until_it_is_seen_or_proven_gone(
    step: str, told: tuple[Lake, list[str], list[Changes]]
) -> None:
    assert told[2][list(STORY).index(step)] == STORY[step][2]


def test_a_sweep_counts_what_is_unread_neither_as_seen_nor_as_gone(
    told: tuple[Lake, list[str], list[Changes]],
) -> None:
    counts = [
        tuple(row[f"{name}_count"] for name in ("instance", "new", "changed", "gone", "quarantined"))
        for row in sorted(rows_of(told[0], "sweeps"), key=lambda row: row["sweep_id"])
    ]
    assert counts == [(2, 2, 0, 0, 0), *3 * [(1, 0, 0, 0, 1)], (2, 0, 0, 0, 0), (1, 0, 0, 1, 0)]


def test_what_is_unread_lives_for_readers_who_look_no_further_back_than_the_last_day(tmp_path: Path) -> None:
    with line_to(tmp_path) as line:
        line.sweep([A, B])
        before = alive(line.lake)
        for after in (900, DAY, DAY, 900):
            assert line.sweep([unread(A), B], after) == "complete"
            # But for the document that was set aside.
            assert {**alive(line.lake), "quarantine": set()} == before


def alive(lake: Lake) -> dict[str, set[tuple[Any, ...]]]:
    """The keys of what lives, by table."""
    found = views_of(lake, *(table.name for table in kept()))
    return {
        table.name: {tuple(row[key] for key in table.keys) for row in found[table.name]} for table in kept()
    }


@pytest.mark.parametrize(
    ("listed", "scope", "due"),
    [
        ([unread(A)], Scope(), {"DE-1": "unread", "DE-2": "gone", "DE-3": "gone"}),
        ([unread(A), unread(C)], Scope(), {"DE-1": "unread", "DE-2": "gone", "DE-3": "unread"}),
        ([unread(A, "creation_timestamp")], Scope(), dict.fromkeys(("DE-1", "DE-2", "DE-3"), "unread")),
        ([unread(Notebook(9)), B, C], Scope(), {"DE-1": "gone"}),
        ([unread(A)], Scope(workspaces=("ws-1",)), {"DE-1": "unread", "DE-2": "gone"}),
        ([unread(A)], Scope(statuses=("RUNNING",)), {}),
    ],
    ids=[
        "one created when the document was",
        "two documents",
        "a document of no age may be any of them",
        "a document of another age is none of them",
        "within the scope only",
        "a scope that proves no absence",
    ],
)
def test_a_document_without_an_id_stands_for_what_it_may_be(
    listed: Sequence[Notebook], scope: Scope, due: dict[str, str], tmp_path: Path
) -> None:
    with line_to(tmp_path) as line:
        line.sweep([A, B, C])
        assert line.sweep(listed, scope=scope) == "complete"
        written = line.changes()[-1].get("instances", {})
        assert {key: change for (key,), change in written.items()} == due


STOPPED = replace(A, status="STOPPED")
SEEN = [("seen", (30, 45), (30, 45), (30, 45))]
# What four sweeps saw of an instance, and its stretches in minutes: at least, by estimate, at most.
METERED: dict[str, tuple[list[Notebook | None], list[Any]]] = {
    "running before and after": ([A, unread(A), A, A], [("unbroken", (0, 30), (0, 30), (0, 30)), *SEEN]),
    "stopped meanwhile": ([A, unread(A), STOPPED, STOPPED], [("stopped", (0, 0), (0, 15), (0, 30))]),
    "unread for long": ([A, unread(A), unread(A), STOPPED], [("stopped", (0, 0), (0, 22.5), (0, 45))]),
    "unread and then gone": ([A, unread(A), None, None], [("stopped", (0, 0), (0, 15), (0, 30))]),
    "unread to the end": ([A, *3 * [unread(A)]], [("stopped", (0, 0), (0, 22.5), (0, 45))]),
}


@pytest.fixture(scope="module")
def metered(tmp_path_factory: pytest.TempPathFactory) -> list[Row]:
    """The stretches of an instance for each case, which all go through the same sweeps."""
    with line_to(tmp_path_factory.mktemp("metered")) as line:
        for seen in zip(*(seen for seen, _ in METERED.values()), strict=True):
            line.sweep(replace(each, number=number) for number, each in enumerate(seen) if each)
        build(Settings(tz="UTC"), line.lake)
        return sorted(rows_of(line.lake, "stretches"), key=lambda row: row["max_from_us"])


@pytest.mark.parametrize("case", METERED)
def test_the_meter_takes_an_unread_instance_for_one_that_no_sweep_was_asked_about(
    case: str, metered: list[Row]
) -> None:
    name, began = f"DE-{list(METERED).index(case)}", metered[0]["max_from_us"]
    found = [
        (row["kind"], *(minutes(row, part, began) for part in ("min_", "", "max_")))
        for row in metered
        if row["instance_id"] == name
    ]
    assert found == METERED[case][1]


def minutes(row: Row, part: str, began: int) -> tuple[float, float]:
    """One interval of a stretch in minutes from the first sweep."""
    return (row[f"{part}from_us"] - began) / MINUTE, (row[f"{part}to_us"] - began) / MINUTE
