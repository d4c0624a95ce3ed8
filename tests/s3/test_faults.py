"""The faults of a service, swept into a lake in an object store: as they are in a directory."""

from __future__ import annotations

from pathlib import Path

import pytest
from test_sweep_faults import UNPROVEN

from bench.faults import CASES, Case, run


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_fault_loses_nothing_unsaid(case: Case, lake_url: str, tmp_path: Path) -> None:
    found = run(case, tmp_path, lake=lake_url)
    assert found.twice == 0
    assert (found.verdict, found.exit_status) == UNPROVEN.get(case.name, ("complete", 0))
    assert found.missed == 0 or found.verdict != "complete"
