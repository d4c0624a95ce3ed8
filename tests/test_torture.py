"""The short form of `make torture`: a lake bears what its page says, and that says what was measured."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from bench.torture import (
    BEGIN,
    END,
    PAGE,
    Bench,
    Result,
    Size,
    benches,
    broken_off,
    faults,
    hostile_documents,
    hostile_sweeps,
    in_folder,
    leaks,
    torture,
)

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    with benches(Result("short"), 3, in_folder) as found:
        yield found


@pytest.mark.parametrize("name", ["sweep", "build"])
def test_a_disk_that_refuses_is_no_defect_and_the_next_run_works(name: str, bench: Bench) -> None:
    bench.service.clock.advance(hours=6)
    bench.recover("sweep")
    assert bench.run(name, file_bytes=1000) == 2
    said = bench.last_words()
    assert said.startswith(f"demeter: the lake {bench.lake.path} cannot be written: ")
    assert said.endswith("; nothing is lost: mend that, then run this again")
    bench.recover(name)
    assert bench.result.is_clean, bench.result


def test_a_run_that_is_killed_leaves_no_harm() -> None:
    fault = broken_off("sweep", signal.SIGKILL)
    found = torture("short", fault, 1, 5, in_folder)
    assert (found.is_clean, found.times) == (True, 1), found


def test_hostile_documents_are_kept_and_their_secrets_are_not() -> None:
    flattened, swept = hostile_documents(100, 1), hostile_sweeps(20, 1)
    assert (flattened.is_clean, flattened.times) == (True, 100), flattened
    assert (swept.is_clean, swept.times) == (True, 20), swept


def test_a_secret_that_is_packed_in_a_file_of_a_lake_is_found(bench: Bench) -> None:
    bench.recover("sweep")
    [(name,)] = bench.rows("select name from instances where name is not null order by all limit 1")
    packed = [path for path in bench.lake.path.rglob("*.zst") if name.encode() not in path.read_bytes()]
    assert packed
    assert leaks(packed, [name])


def test_the_page_tells_of_every_fault_and_of_no_harm() -> None:
    text = PAGE.read_text(encoding="utf-8").partition(BEGIN)[2].partition(END)[0].strip()
    told = [line.strip("| ").split(" | ") for line in text.splitlines()[2:]]
    names = [name for name, *_ in faults(Size.of(0), mounts=True)]
    documents = [hostile_documents(0, 1).fault, hostile_sweeps(0, 1).fault]
    assert [row[0] for row in told] == [*names, *documents]
    assert {tuple(row[3:]) for row in told} == {("0", "0", "0", "0")}
