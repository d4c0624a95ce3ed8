"""The cluster that these tests work at, and lakes that it has worked on."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import odd

from bench.clusters import Cluster, running
from etl import sparkbuild
from etl.lake import Lake


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A master and two workers."""
    with running(tmp_path_factory.mktemp("cluster"), workers=2) as found:
        yield found


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """The odd lake, of which nothing is built; tests copy it."""
    return odd.lake(tmp_path_factory.mktemp("odd") / "own")


@pytest.fixture(scope="session")
def pair(template: Lake, cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> odd.Pair:
    """The odd lake built by both; tests only read it."""
    folder = tmp_path_factory.mktemp("pair")
    by_duckdb, by_spark = odd.copy(template, folder / "duckdb"), odd.copy(template, folder / "spark")
    told = odd.built_by_duckdb(by_duckdb)
    settings = odd.settings_of(by_spark, engine="spark", master=cluster.master)
    return odd.Pair(by_duckdb, by_spark, told, sparkbuild.build(settings, by_spark))
