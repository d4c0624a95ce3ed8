"""What a response becomes, table by table, compared with files that were written by hand."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path

import pytest
from support import OF_THE_RUN, as_text, header_of, read_golden, swept, tables_of, views_of

from etl.dictionary import TABLES, all_columns, kept
from etl.emulator import Clock, Emulator
from etl.lake import Lake

GOLDEN = Path(__file__).with_name("golden")


@contextmanager
def sample() -> Iterator[Emulator]:
    """The sample response of the reference, paged by the service."""
    with Emulator.of_sample() as service:
        yield service


@contextmanager
def sample_verbatim() -> Iterator[Emulator]:
    """The sample response byte for byte as the reference prints it, blanks and all."""
    with Emulator.of_sample() as service:
        service.answer_with((files("etl.emulator") / "sample_response.json").read_bytes())
        yield service


@contextmanager
def full() -> Iterator[Emulator]:
    """A response that has every feature in it."""
    with Emulator.of_documents([], clock=Clock.at("2025-10-12T01:10:00Z")) as service:
        service.answer_with((GOLDEN / "full" / "page.json").read_bytes())
        yield service


@contextmanager
def notebooks() -> Iterator[Emulator]:
    """The successor, of an instance with every feature, one with nothing, and one with oddities."""
    documents = [(GOLDEN / "notebooks" / f"{name}.json").read_bytes() for name in ("full", "nulls", "odd")]
    with Emulator.of_documents(documents, clock=Clock.at("2025-10-12T01:10:00Z")) as service:
        flavors = (GOLDEN / "notebooks" / "flavors.json").read_bytes()
        service.answer_with(flavors, path="/notebooks/flavors")
        yield service


SERVICES = {"sample": sample, "sample_verbatim": sample_verbatim, "full": full, "notebooks": notebooks}


@pytest.fixture(scope="module", params=sorted(SERVICES))
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Lake]:
    """A golden directory, and the lake that one sweep of what it describes has filled."""
    lake = Lake(tmp_path_factory.mktemp(request.param) / "lake")
    with SERVICES[request.param]() as service:
        found = swept(service, lake, api="notebooks" if request.param == "notebooks" else "demanager")
    assert (found.verdict, found.reason) == ("complete", "")
    return GOLDEN / str(request.param).removesuffix("_verbatim"), lake


def test_a_response_becomes_exactly_the_rows_written_by_hand(case: tuple[Path, Lake]) -> None:
    golden, lake = case
    found = {name: as_text(rows) for name, rows in tables_of(lake).items()}
    assert found == read_golden(golden)


def test_after_one_sweep_its_rows_are_live_and_none_is_superseded(case: tuple[Path, Lake]) -> None:
    golden, lake = case
    found = views_of(lake, *(table.name for table in kept()), *(table.history for table in kept()))
    for table in kept():
        live = [{k: v for k, v in row.items() if k != "sweep_id"} for row in found[table.name]]
        assert as_text(live) == read_golden(golden)[table.name], table.name
        history = [row | {"valid_from": row["observed_at"], "valid_to": None} for row in found[table.name]]
        assert as_text(found[table.history]) == as_text(history), table.history


@pytest.mark.parametrize("golden", ["sample", "full", "notebooks"])
def test_a_golden_file_has_all_columns_of_its_table(golden: str) -> None:
    for table in TABLES:
        columns = [column.name for column in all_columns(table) if column.name not in OF_THE_RUN]
        assert header_of(GOLDEN / golden / f"{table.name}.csv") == columns


def test_the_full_response_fills_every_column_that_can_be_filled() -> None:
    """So that a column which is never read shows up as one that is always empty."""
    rows = read_golden(GOLDEN / "full")
    sent = json.loads((GOLDEN / "full" / "page.json").read_bytes())
    assert len(sent["instances"]) == len(rows["instances"])
    empty = {
        f"{name}.{column}"
        for name, found in rows.items()
        for column in found[0]
        if not any(row[column] for row in found)
    }
    assert empty == {
        "flavors.npu_count",  # no flavor has NPUs and GPUs
        "profiles.description",
        "repositories.ssh_private_key",
        "slices.reason",
        "sweeps.reason",
        "sweeps.resumed_from",
    }
