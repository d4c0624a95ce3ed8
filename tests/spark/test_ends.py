"""What is left where a worker or the whole build is killed, and what comes of it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import odd
from odd import Pair
from pyspark.sql import SparkSession
from test_equality import exact

from bench.clusters import Cluster
from etl import marts, query, spark, sparkbuild, upkeep
from etl.lake import Lake
from etl.settings import Settings

LONGEST_BUILD_SECONDS = 600
TWO_HOURS = 7200


def values(lake: Lake) -> dict[str, list[list[tuple[str, object]]]]:
    return {name: exact(rows) for name, rows in odd.seen(lake).items()}


def test_a_build_ends_right_where_a_worker_is_killed_on_the_way(
    pair: Pair, template: Lake, cluster: Cluster, tmp_path: Path
) -> None:
    lake, killed = odd.copy(template, tmp_path / "own"), []

    def progress(done: int, total: int) -> None:
        if done == total // 3:
            killed.append(cluster.kill_worker())

    try:
        built = sparkbuild.build(
            odd.settings_of(lake, engine="spark", master=cluster.master), lake, progress=progress
        )
    finally:
        cluster.add_workers()
    assert len(killed) == 1
    assert built == pair.told_by_duckdb
    assert values(lake) == values(pair.by_duckdb)


def test_a_build_that_is_killed_leaves_the_old_marts_and_what_maintain_removes(
    pair: Pair, cluster: Cluster, tmp_path: Path
) -> None:
    lake = odd.copy(pair.by_duckdb, tmp_path / "own")
    current = (lake.path / "marts" / "current.json").read_text()
    before = files_of(lake)
    kill_between_two_marts(lake, cluster.master)
    assert (lake.path / "marts" / "current.json").read_text() == current
    assert values(lake) == values(pair.by_duckdb)
    left = files_of(lake) - before
    assert {path.suffix for path in left} >= {".parquet"}

    # A mart that was committed and not published is taken back, and nothing is built for it.
    assert odd.built_by_duckdb(lake).days == ()
    for path in (*left, *lake.path.glob("tmp/queries/**/*")):
        os.utime(path, times=(time.time() - 20 * TWO_HOURS,) * 2)
    upkeep.maintain(Settings(lake=str(lake.path), vacuum_hours=1), lake)
    orphans = {path for path in files_of(lake) & left if path.suffix == ".parquet"} - committed(lake)
    assert orphans == set()
    assert not [path for path in lake.path.glob("tmp/queries/**/*") if path.is_file()]
    assert values(lake) == values(pair.by_duckdb)


def test_that_a_cluster_has_no_free_processor_is_said_and_the_run_goes_on_when_it_has(
    pair: Pair, cluster: Cluster
) -> None:
    holder = spark.session(cluster.master)
    assert holder.range(8).count() == 8  # It has all processors of the workers now.
    command = [sys.executable, "-m", "etl.cli", "sql", "--format", "csv", "--engine", "spark"]
    process = subprocess.Popen(  # noqa: S603
        [*command, "--master", cluster.master, "select count(*) as n from instances"],
        env=os.environ | {"DEMETER_LAKE": str(pair.by_spark.path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stderr
        said = process.stderr.readline()
        running = SparkSession.getActiveSession()
        assert running
        running.stop()
        answer, more = process.communicate(timeout=LONGEST_BUILD_SECONDS)
    finally:
        process.kill()
    assert said.startswith(
        f"demeter: Spark at {cluster.master} has had no free processor for this for 20 sec"
    )
    assert (process.returncode, more) == (0, "")
    [row] = query.run(pair.by_spark, "select count(*) as n from instances").to_pylist()
    assert answer == f"n\n{row['n']}\n"


def kill_between_two_marts(lake: Lake, master: str) -> None:
    """Begin a build on Spark as a user does, and kill it once it has committed a mart."""
    # This process holds all processors of the workers, and the build would wait for them.
    if running := SparkSession.getActiveSession():
        running.stop()
    settings = odd.settings_of(lake)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("DEMETER_")}
    environment |= {
        "DEMETER_LAKE": settings.lake,
        "DEMETER_PRICES": settings.prices,
        "DEMETER_EXCHANGE_RATES": settings.exchange_rates,
        "DEMETER_REGION": settings.region,
    }
    command = [sys.executable, "-m", "etl.cli", "build", "--tz", odd.ZONE, "--engine", "spark"]
    process = subprocess.Popen(  # noqa: S603
        [*command, "--master", master], env=environment, stderr=subprocess.PIPE, start_new_session=True
    )
    known = marts.published(lake)
    assert known is not None
    until = time.monotonic() + LONGEST_BUILD_SECONDS
    log = lake.path / "marts" / marts.STORED[1] / "_delta_log"
    committed_next = log / f"{known.versions[marts.STORED[1]] + 1:020}.json"
    while not committed_next.exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def files_of(lake: Lake) -> set[Path]:
    """The files of all marts, without their logs."""
    found = lake.path.glob("marts/*/**/*")
    return {path for path in found if path.is_file() and "_delta_log" not in path.parts}


def committed(lake: Lake) -> set[Path]:
    """The files that any version of a mart has added."""
    return {
        log.parent.parent / json.loads(line)["add"]["path"]
        for log in lake.path.glob("marts/*/_delta_log/*.json")
        for line in log.read_text().splitlines()
        if "add" in json.loads(line)
    }


def test_nothing_is_worked_out_again_where_nothing_has_changed(
    pair: Pair, cluster: Cluster, tmp_path: Path
) -> None:
    lake = odd.copy(pair.by_spark, tmp_path / "own")
    settings = odd.settings_of(lake, engine="spark", master=cluster.master)
    before = marts.published(lake)
    built = sparkbuild.build(settings, lake)
    assert (built.rows, built.days, built.day_count) == ({}, (), pair.told_by_spark.day_count)
    assert built.findings == pair.told_by_spark.findings
    assert marts.published(lake) == before
