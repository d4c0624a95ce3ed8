"""From what was written every state comes back."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from stories import DAY, QUARTER, Notebook, key_of, line_to
from support import Row, views_of

from etl.dictionary import Table, kept
from etl.emulator import ERRORS
from etl.scope import Scope

pytestmark = pytest.mark.long

RUNNING = Scope(statuses=("RUNNING",))
FIRST = Scope(workspaces=("ws-1",))

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
