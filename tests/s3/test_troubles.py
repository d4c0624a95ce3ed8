"""An object store that refuses, gives out or cannot be relied on: a line says what to do, nothing is lost."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from conftest import BUCKET, ObjectStore, keys, named
from support import environment_for, one_line, rows_of, swept

from etl import leases
from etl.cli import main
from etl.emulator import Emulator
from etl.errors import ServiceUnavailable
from etl.lake import Lake
from etl.reader import Reader

DOCUMENTS = [
    {"id": f"DE-{n}", "status": "RUNNING", "creation_timestamp": str(1_760_000_000_000 + n)} for n in range(9)
]


@pytest.fixture
def service() -> Iterator[Emulator]:
    with Emulator.of_documents(DOCUMENTS) as emulator:
        yield emulator


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectStore]:
    """A store that is nobody else's, so that it may misbehave."""
    with named(tmp_path_factory.mktemp("cache")) as store:
        yield store


def demeter(service: Emulator, url: str, *words: str, **others: str | None) -> Result:
    environment: dict[str, Any] = environment_for(service, Path("/nowhere")) | {"DEMETER_LAKE": url} | others
    return CliRunner().invoke(main, words, env=environment)


@pytest.mark.parametrize("words", [("sweep",), ("build",), ("maintain",)])
def test_a_store_that_ignores_conditions_is_refused_by_whatever_writes(
    words: tuple[str, ...], own: ObjectStore, service: Emulator
) -> None:
    url = f"s3://{BUCKET}/ignoring-{words[0]}"
    if words != ("sweep",):
        Lake(url).create()
    before = keys(url)
    own.tell("ignore")
    try:
        result = demeter(service, url, *words)
    finally:
        own.tell("honour")
    assert result.exit_code == 2
    assert one_line(result).startswith(
        f"the object store of {url} ignores the conditions of a write (If-None-Match and If-Match), so"
    )
    assert keys(url) == before


def test_a_store_that_goes_away_during_a_sweep_costs_that_sweep_alone(
    own: ObjectStore, service: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "SECONDS", 4.0)
    lake = Lake(f"s3://{BUCKET}/away")
    assert swept(service, lake).verdict == "complete"
    service.documents = [*DOCUMENTS, {**DOCUMENTS[0], "id": "DE-new"}]
    service.clock.advance(hours=1)
    read = Reader.read

    def read_and_lose(*arguments: Any, **named: Any) -> Any:
        found = read(*arguments, **named)
        own.tell("down")
        return found

    with monkeypatch.context() as patch:
        patch.setattr(Reader, "read", read_and_lose)
        result = demeter(service, str(lake), "sweep")
    own.tell("up")
    assert result.exit_code == 6
    assert one_line(result).startswith(
        f"the object store of {lake} gave out: Could not connect to the endpoint"
    )
    assert len(rows_of(lake, "sweeps")) == 1
    # Its pages wait on this machine, and go with the next sweep.
    assert len(lake.store.landed(f"raw/{service.project_id}")) == 1
    # The lease that could not be given back ends by itself.
    result = demeter(service, str(lake), "sweep", DEMETER_WAIT_SECONDS="90")
    assert result.exit_code == 0, result.stderr
    assert len(rows_of(lake, "sweeps")) == 2
    assert len(rows_of(lake, "instances")) == len(DOCUMENTS) + 1
    assert lake.store.landed(f"raw/{service.project_id}") == []
    assert len(lake.raw(service.project_id).folders()) == 3


def test_a_store_that_goes_away_while_tables_are_written_costs_that_sweep_alone(
    own: ObjectStore, service: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "SECONDS", 4.0)
    lake = Lake(f"s3://{BUCKET}/away-later")
    append, written = Lake.append_batches, []

    def append_and_lose(self: Lake, name: str, rows: Any) -> None:
        append(self, name, rows)
        written.append(name)
        if len(written) == 2:
            own.tell("down")

    with monkeypatch.context() as patch:
        patch.setattr(Lake, "append_batches", append_and_lose)
        result = demeter(service, str(lake), "sweep")
    own.tell("up")
    assert result.exit_code == 6
    assert "run this again later" in one_line(result)
    assert rows_of(lake, "sweeps") == rows_of(lake, "instances") == []
    result = demeter(service, str(lake), "sweep", DEMETER_WAIT_SECONDS="90")
    assert result.exit_code == 0, result.stderr
    sweeps = {row["sweep_id"] for row in rows_of(lake, "sweeps")}
    assert len(sweeps) == 1
    assert {row["sweep_id"] for row in lake.delta("instances").to_pyarrow_table().to_pylist()} == sweeps


def test_a_store_that_is_not_there_is_told_by_who_reads(own: ObjectStore, service: Emulator) -> None:
    own.tell("down")
    try:
        result = demeter(service, f"s3://{BUCKET}/none", "report", "summary")
    finally:
        own.tell("up")
    assert result.exit_code == ServiceUnavailable.exit_status
    assert one_line(result).startswith("the object store of s3://lakes/none gave out: Could not connect")


def test_a_store_that_lets_nobody_in_is_told(own: ObjectStore, service: Emulator) -> None:
    own.tell("refuse")
    try:
        result = demeter(service, f"s3://{BUCKET}/closed", "sweep")
    finally:
        own.tell("serve")
    assert result.exit_code == 5
    assert "(AccessDenied): mend the credentials, or grant that" in one_line(result)


def test_a_bucket_that_is_not_there_is_told(own: ObjectStore, service: Emulator) -> None:
    result = demeter(service, "s3://nobodys/lake", "sweep")
    assert result.exit_code == 2
    assert one_line(result).startswith("there is no bucket nobodys: create it")


@pytest.mark.parametrize(
    ("others", "said"),
    [
        ({"AWS_ACCESS_KEY_ID": None, "AWS_SECRET_ACCESS_KEY": None}, "Unable to locate credentials"),
        ({"AWS_ACCESS_KEY_ID": "half", "AWS_SECRET_ACCESS_KEY": None}, "Partial credentials found"),
        ({"AWS_PROFILE": "nobody"}, "The config profile (nobody) could not be found"),
    ],
)
def test_credentials_that_are_missing_are_asked_for(
    others: dict[str, str | None], said: str, own: ObjectStore, service: Emulator
) -> None:
    for words in (("sweep",), ("report", "summary")):
        result = demeter(service, f"s3://{BUCKET}/any", *words, **others)
        assert result.exit_code == 2
        assert one_line(result).startswith(f"the lake s3://lakes/any wants credentials ({said}")
        assert "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE" in one_line(result)


def test_a_lake_in_a_directory_loads_nothing_of_this() -> None:
    loads = "import sys, etl.cli, etl.views, etl.build, etl.sweep, etl.lake; etl.lake.Lake('lake')"
    tells = "print({'boto3', 'botocore', 'fsspec', 'etl.bucket', 'etl.objects'} & set(sys.modules))"
    found = subprocess.run([sys.executable, "-c", f"{loads}; {tells}"], capture_output=True, text=True)  # noqa: S603
    assert (found.stdout, found.stderr) == ("set()\n", "")
