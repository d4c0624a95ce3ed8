"""Only changes are written, and only what is proven gone is gone."""

from __future__ import annotations

from dataclasses import replace

import pytest
from stories import DAY, Changes, Notebook, line_to

from etl.emulator import ERRORS
from etl.scope import Scope


def of_instances(change: str, *numbers: int) -> Changes:
    """The same change for all that belongs to the instances themselves."""
    return {
        "instances": {(f"DE-{n}",): change for n in numbers},
        "storage": {(f"DE-{n}", 0): change for n in numbers},
    }


def of_profiles(change: str, *numbers: int) -> Changes:
    """The same change for all that belongs to the profiles of the instances."""
    return {
        "profiles": {(f"profile-{n}",): change for n in numbers},
        "provisions": {(f"profile-{n}",): change for n in numbers},
        "attributes": {
            ("profile", f"profile-{n}", "labels", key): change for n in numbers for key in ("team", "tier")
        },
    }


def together(*parts: Changes) -> Changes:
    found: Changes = {}
    for part in parts:
        for name, rows in part.items():
            found.setdefault(name, {}).update(rows)
    return {name: rows for name, rows in found.items() if rows}


A, B, C, D = (Notebook(number) for number in (1, 2, 3, 4))
TEAM_1 = ("profile", "profile-1", "labels", "team")
TIER_2 = ("profile", "profile-2", "labels", "tier")
A_RELABELLED = replace(A, labels=(("team", "nlp"), ("tier", "1")))
B_UNLABELLED = replace(B, labels=(("team", "vision"),))
C_RENAMED = replace(C, name="renamed")
C_BARE = replace(C_RENAMED, volume=None)
A_NEW_NAME = replace(A_RELABELLED, name="late")

WORKSPACES = {"workspaces": {("ws-1",): "new", ("ws-2",): "new"}}
ALL_LATER = together(
    of_instances("keyframe", 1, 2, 3, 4),
    of_profiles("keyframe", 1, 2, 3, 4),
    {"workspaces": {("ws-1",): "keyframe", ("ws-2",): "keyframe"}},
)
del ALL_LATER["attributes"][TIER_2], ALL_LATER["storage"]["DE-3", 0]

# Each sweep of the story, in order: what it says, and what it must write.
WHOLE_STORY: dict[str, Changes] = {
    "the first sweep writes all": together(
        of_instances("new", 1, 2, 3, 4), of_profiles("new", 1, 2, 3, 4), WORKSPACES
    ),
    "nothing changed but the time that remains": {},
    "a label changed, one was removed, one was renamed, one is gone, one queues, one surprises": together(
        of_instances("gone", 4),
        of_profiles("gone", 4),
        {
            "instances": {("DE-3",): "changed"},
            "attributes": {TEAM_1: "changed", TIER_2: "gone"},
            "queue": {("DE-1",): "new"},
            "extras": {("DE-2", "surprise"): "new"},
        },
    ),
    "it moved up in the queue": {"queue": {("DE-1",): "changed"}},
    "it left the queue, the surprise is over, a volume is gone, and the one that left is back": together(
        of_instances("new", 4),
        of_profiles("new", 4),
        {
            "queue": {("DE-1",): "gone"},
            "extras": {("DE-2", "surprise"): "gone"},
            "storage": {("DE-3", 0): "gone"},
        },
    ),
    "the next day begins with all that lives": ALL_LATER,
    "the day goes on with nothing": {},
    "a sweep that fails at its second page keeps what came, and nothing is gone": {
        "instances": {("DE-1",): "changed"}
    },
    "an incomplete sweep makes nothing gone": {},
    "a complete one does": together(of_instances("gone", 4), of_profiles("gone", 4)),
    "nobody is left": together(
        of_instances("gone", 1, 2),
        {"instances": {("DE-3",): "gone"}},
        {
            name: {key: "gone" for key in rows if key != TIER_2}
            for name, rows in of_profiles("", 1, 2, 3).items()
        },
        {"workspaces": {("ws-1",): "gone", ("ws-2",): "gone"}},
    ),
    "nobody came": {},
}
VERDICTS = ["complete"] * 7 + ["failed", "incomplete"] + ["complete"] * 3


@pytest.fixture(scope="module")
def whole_story(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[str], list[Changes]]:
    """The verdict of each sweep of the story, and what it wrote."""
    with line_to(tmp_path_factory.mktemp("story")) as line:
        verdicts = [
            line.sweep([A, B, C, D]),
            line.sweep([replace(each, remaining=90) for each in (A, B, C, D)]),
            line.sweep([replace(A_RELABELLED, rank=2), replace(B_UNLABELLED, surprise=7), C_RENAMED]),
            line.sweep([replace(A_RELABELLED, rank=1), replace(B_UNLABELLED, surprise=7), C_RENAMED]),
            line.sweep([A_RELABELLED, B_UNLABELLED, C_BARE, D]),
            line.sweep([A_RELABELLED, B_UNLABELLED, C_BARE, D], after=DAY),
            line.sweep([A_RELABELLED, B_UNLABELLED, C_BARE, D]),
        ]
        line.service.faults.fail_at_request = {2: ERRORS["html"]}
        verdicts.append(line.sweep([A_NEW_NAME, B_UNLABELLED, C_BARE]))
        line.service.faults.fail_at_request = {}
        line.service.faults.total_count = 9
        verdicts.append(line.sweep([A_NEW_NAME, B_UNLABELLED, C_BARE]))
        line.service.faults.total_count = None
        verdicts.append(line.sweep([A_NEW_NAME, B_UNLABELLED, C_BARE]))
        verdicts += [line.sweep([]), line.sweep([])]
        return verdicts, line.changes()


@pytest.mark.parametrize("step", WHOLE_STORY)
def test_a_sweep_writes_what_changed_and_nothing_else(
    step: str, whole_story: tuple[list[str], list[Changes]]
) -> None:
    verdicts, changes = whole_story
    number = list(WHOLE_STORY).index(step)
    assert verdicts[number] == VERDICTS[number]
    assert changes[number] == WHOLE_STORY[step]


RUNNING = Scope(statuses=("RUNNING",))
FIRST = Scope(workspaces=("ws-1",))
A_STOPPED, B_STOPPED, D_STOPPED = (replace(each, status="STOPPED") for each in (A, B, D))

SCOPED_STORY: dict[str, Changes] = {
    "all": WHOLE_STORY["the first sweep writes all"],
    "among the running, one stopped and one is gone: neither is proven gone": {},
    "in a workspace, what is not there is gone; elsewhere nothing is, nor what is shared": together(
        of_instances("gone", 2), {"instances": {("DE-1",): "changed"}}
    ),
    "in all, all that is not there is gone": together(of_instances("gone", 3), of_profiles("gone", 2, 3)),
    "the next day, among the running, one that was known to be stopped": together(
        {"instances": {("DE-4",): "changed"}, "storage": {("DE-4", 0): "keyframe"}},
        of_profiles("keyframe", 4),
        {"workspaces": {("ws-2",): "keyframe"}},
    ),
    "and later that day another, which was known the day before": together(
        {"instances": {("DE-1",): "changed"}, "storage": {("DE-1", 0): "keyframe"}},
        of_profiles("keyframe", 1),
        {"workspaces": {("ws-1",): "keyframe"}},
    ),
}


@pytest.fixture(scope="module")
def scoped_story(tmp_path_factory: pytest.TempPathFactory) -> list[Changes]:
    with line_to(tmp_path_factory.mktemp("scopes")) as line:
        verdicts = [
            line.sweep([A, B_STOPPED, C, D_STOPPED]),
            line.sweep([A_STOPPED, B_STOPPED, D_STOPPED], scope=RUNNING),
            line.sweep([A_STOPPED, D_STOPPED], scope=FIRST),
            line.sweep([A_STOPPED, D_STOPPED]),
            line.sweep([A_STOPPED, D], after=DAY, scope=RUNNING),
            line.sweep([A, D], scope=RUNNING),
        ]
        assert verdicts == ["complete"] * 6
        return line.changes()


@pytest.mark.parametrize("step", SCOPED_STORY)
def test_a_sweep_of_a_part_makes_gone_only_what_its_scope_proves(
    step: str, scoped_story: list[Changes]
) -> None:
    assert scoped_story[list(SCOPED_STORY).index(step)] == SCOPED_STORY[step]
