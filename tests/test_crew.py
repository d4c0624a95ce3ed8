"""Workers take one job after another, and one that is killed costs nobody else's."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from functools import partial

from etl.crew import Crew, Killed


def worker(factor: int) -> Callable[[int], tuple[int, int]]:
    return partial(multiplied, factor)


def multiplied(factor: int, number: int) -> tuple[int, int]:
    """The product, and who worked it out; 13 kills the worker, and 14 ends it."""
    if number == 13:
        os.kill(os.getpid(), signal.SIGKILL)
    if number == 14:
        sys.exit(3)
    return factor * number, os.getpid()


def worked(size: int, numbers: list[int]) -> dict[int, tuple[int, int] | Killed]:
    waiting = list(numbers)
    crew: Crew[int, tuple[int, int]] = Crew(size, partial(worker, 10))
    return dict(crew.run(lambda: waiting.pop(0) if waiting else None))


def test_every_job_is_done_once_by_as_many_workers_as_there_may_be() -> None:
    done = worked(2, list(range(1, 9)))
    results = {number: each for number, each in done.items() if not isinstance(each, Killed)}
    assert {number: product for number, (product, _) in results.items()} == {n: 10 * n for n in range(1, 9)}
    workers = {pid for _, pid in results.values()}
    assert 1 <= len(workers) <= 2
    assert os.getpid() not in workers


def test_a_worker_that_is_killed_costs_its_job_alone() -> None:
    done = worked(1, [1, 13, 2, 14, 3])
    assert {number: each for number, each in done.items() if isinstance(each, Killed)} == {
        13: Killed("SIGKILL"),
        14: Killed("status 3"),
    }
    assert [done[number][0] for number in (1, 2, 3)] == [10, 20, 30]  # type: ignore[index]


def reader() -> Callable[[int], list[str]]:
    """Arrow as a sweep uses it, and what of all packages a worker knows then."""
    import pyarrow as pa

    return lambda number: [
        name for name in ("numpy", "pandas", "pyarrow") if pa.array([number]) and name in sys.modules
    ]


def test_a_worker_loads_nothing_for_arrow_that_is_not_needed() -> None:
    waiting = [1]
    crew: Crew[int, list[str]] = Crew(1, reader)
    assert dict(crew.run(lambda: waiting.pop() if waiting else None)) == {1: ["pyarrow"]}


def test_where_there_is_nothing_to_do_nobody_is_asked_to() -> None:
    assert worked(3, []) == {}
