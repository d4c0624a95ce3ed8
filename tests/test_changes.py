"""Only changes are written, and from what was written every state comes back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support import Row, committed, views_of

from etl.dictionary import Table, kept
from etl.emulator import ERRORS, Clock, Emulator
from etl.lake import Lake
from etl.scope import Scope

NOON = "2026-10-12T12:00:00Z"
QUARTER, DAY = 900.0, 86_400.0

# What a sweep wrote: for each table with rows, the change of each key.
Changes = dict[str, dict[tuple[Any, ...], str]]


@dataclass(frozen=True)
class Notebook:
    """An instance as the service has it."""

    number: int
    name: str = "notebook"
    status: str = "RUNNING"
    labels: tuple[tuple[str, str], ...] = (("team", "vision"), ("tier", "1"))
    volume: int | None = 5
    rank: int | None = None
    remaining: int = 100
    surprise: int | None = None

    @property
    def id(self) -> str:
        return f"DE-{self.number}"

    @property
    def profile(self) -> str:
        return f"profile-{self.number}"

    @property
    def workspace(self) -> str:
        return "ws-1" if self.number <= 2 else "ws-2"

    @property
    def document(self) -> Row:
        location = {"volume_size": self.volume}
        return {
            "id": self.id,
            "name": self.name,
            "status": self.status,
            "creation_timestamp": str(1760227200000 + self.number),
            "workspace": {"id": self.workspace},
            "profile": {"id": self.profile, "labels": dict(self.labels)},
            "spec": {
                "auto_stop": {"enable": True, "remain_time": self.remaining},
                "storage": {"type": "evs", "location": location} if self.volume else None,
            },
            "queuing_info": {"rank": self.rank, "status": "START_QUEUING"} if self.rank else None,
            "surprise": self.surprise,
        }


@dataclass
class Line:
    """A service and the lake that it is swept into, with the sweeps made so far."""

    service: Emulator
    lake: Lake
    sweeps: list[str] = field(default_factory=list)

    def sweep(self, notebooks: Iterable[Notebook], after: float = QUARTER, scope: Scope | None = None) -> str:
        """Sweep these instances some seconds after the last sweep; its verdict."""
        self.service.documents = [each.document for each in notebooks]
        self.service.clock.advance(seconds=after)
        self.service.requests.clear()
        found = committed(self.service, self.lake, scope, attempts=1, limit=2)
        self.sweeps.append(found.sweep_id)
        return found.verdict

    def written(self) -> dict[str, list[Row]]:
        """All rows of all tables, in the order they were written."""
        found = views_of(self.lake, *(table.history for table in kept()))
        return {
            table.name: sorted(found[table.history], key=lambda row: (row["observed_at"], row["sweep_id"]))
            for table in kept()
        }

    def changes(self) -> list[Changes]:
        """What each of the sweeps wrote."""
        tables = self.written()
        return [changes_of(tables, sweep_id) for sweep_id in self.sweeps]


@contextmanager
def line_to(directory: Path) -> Iterator[Line]:
    with Emulator.of_documents([], clock=Clock.at(NOON)) as service:
        yield Line(service, Lake(directory / "lake"))


def key_of(table: Table, row: Row) -> tuple[Any, ...]:
    return tuple(row[key] for key in table.keys)


def changes_of(tables: dict[str, list[Row]], sweep_id: str) -> Changes:
    found = {
        table.name: {
            key_of(table, row): row["change"] for row in tables[table.name] if row["sweep_id"] == sweep_id
        }
        for table in kept()
    }
    return {name: rows for name, rows in found.items() if rows}


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


# Any history: what is believed of the service is worked out here from what it listed, and compared
# with what the rows of the lake say, at every sweep.

NOTEBOOKS = st.tuples(
    *(
        st.none()
        | st.builds(
            Notebook,
            number=st.just(number),
            name=st.sampled_from(["a", "b"]),
            status=st.sampled_from(["RUNNING", "STOPPED"]),
            labels=st.sampled_from([(), (("k", "1"),), (("k", "2"), ("l", "1"))]),
            volume=st.sampled_from([None, 5, 6]),
            rank=st.sampled_from([None, 1, 2]),
            remaining=st.integers(1, 9),
            surprise=st.sampled_from([None, 1]),
        )
        for number in (1, 2, 3, 4)
    )
)
KINDS = st.sampled_from(["whole", "whole", "whole", "running", "first", "failed"])
STEPS = st.lists(
    st.tuples(NOTEBOOKS, KINDS, st.sampled_from([QUARTER, QUARTER, DAY])), min_size=6, max_size=6
)


@dataclass
class Belief:
    """What one who follows the sweeps should believe: instances, profiles and workspaces."""

    instances: dict[int, Notebook] = field(default_factory=dict)
    profiles: dict[int, Notebook] = field(default_factory=dict)
    workspaces: set[str] = field(default_factory=set)

    def learn(self, kind: str, present: list[Notebook]) -> None:
        seen = {
            "whole": present,
            "running": [each for each in present if each.status == "RUNNING"],
            "first": [each for each in present if each.workspace == "ws-1"],
            "failed": present[:2],
        }[kind]
        if kind == "whole":
            self.instances, self.profiles, self.workspaces = {}, {}, set()
        if kind == "first":
            self.instances = {n: each for n, each in self.instances.items() if each.workspace != "ws-1"}
        self.instances |= {each.number: each for each in seen}
        self.profiles |= {each.number: each for each in seen}
        self.workspaces |= {each.workspace for each in seen}

    def rows(self) -> dict[str, set[tuple[Any, ...]]]:
        """What the tables should say."""
        live = self.instances.values()
        return {
            "instances": {(each.id, each.name, each.status, each.workspace) for each in live},
            "storage": {(each.id, 0, each.volume) for each in live if each.volume},
            "queue": {(each.id, each.rank) for each in live if each.rank},
            "extras": {(each.id, "surprise", str(each.surprise)) for each in live if each.surprise},
            "profiles": {(each.profile,) for each in self.profiles.values()},
            "attributes": {
                (each.profile, key, value) for each in self.profiles.values() for key, value in each.labels
            },
            "workspaces": {(each,) for each in self.workspaces},
        }


COLUMNS = {
    "instances": ("instance_id", "name", "status", "workspace_id"),
    "storage": ("instance_id", "volume", "size"),
    "queue": ("instance_id", "rank"),
    "extras": ("instance_id", "path", "value"),
    "profiles": ("profile_id",),
    "attributes": ("owner_id", "key", "value"),
    "workspaces": ("workspace_id",),
}


def replayed(table: Table, rows: list[Row], sweep_id: str) -> dict[tuple[Any, ...], Row]:
    """The rows live at a sweep: the last of each key at or before it, unless that is gone."""
    last = {key_of(table, row): row for row in rows if row["sweep_id"] <= sweep_id}
    return {key: row for key, row in last.items() if row["change"] != "gone"}


def misjudged(table: Table, rows: list[Row]) -> list[Row]:
    """The rows whose `change` is not what the rows before them make of it."""
    before: dict[tuple[Any, ...], Row] = {}
    wrong = []
    for row in rows:
        last = before.get(key_of(table, row))
        before[key_of(table, row)] = row
        if last is None or last["change"] == "gone":
            due = "new"
        elif row["change"] == "gone":
            due = "gone"
        elif any(row[name] != last[name] for name in table.compared):
            due = "changed"
        else:
            due = "keyframe" if row["observed_date"] > last["observed_date"] else "nothing"
        wrong += [row] if row["change"] != due else []
    return wrong


@settings(max_examples=3, suppress_health_check=[HealthCheck.too_slow])
@given(STEPS)
def test_the_rows_give_back_what_was_listed_at_every_sweep(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[tuple[Notebook | None, ...], str, float]]
) -> None:
    belief, due = Belief(), []
    # Without a sweep of all there is nothing that later ones could be measured by.
    steps = [(steps[0][0], "whole", QUARTER), *steps[1:]]
    scopes = {"running": RUNNING, "first": FIRST}
    with line_to(tmp_path_factory.mktemp("any")) as line:
        for notebooks, kind, after in steps:
            present = [each for each in notebooks if each]
            line.service.faults.fail_at_request = {2: ERRORS["html"]} if kind == "failed" else {}
            verdict = line.sweep(present, after, scopes.get(kind))
            belief.learn("whole" if kind == "failed" and verdict == "complete" else kind, present)
            due.append(belief.rows())
        tables = line.written()
        live = views_of(line.lake, *COLUMNS)
    for table in kept():
        assert misjudged(table, tables[table.name]) == []
    for name, columns in COLUMNS.items():
        table = next(each for each in kept() if each.name == name)
        states = [replayed(table, tables[name], sweep_id).values() for sweep_id in line.sweeps]
        found = [{tuple(row[column] for column in columns) for row in state} for state in states]
        assert found == [each[name] for each in due], name
        assert {tuple(row[column] for column in columns) for row in live[name]} == due[-1][name], name
