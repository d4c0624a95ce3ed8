"""What the SQL files do with numbers gives the same digits on both engines, over values hard to hit."""

from __future__ import annotations

import random
from decimal import Decimal

import duckdb
import pyarrow as pa
import pytest
from test_equality import exact

from bench.clusters import Cluster
from etl import spark, views

ROWS = 20_000
# Expressions of the SQL files, over a and b: whole numbers; x and y: costs with all decimals; d: doubles.
EXPRESSIONS = {
    "ticks": "cast(round(a * 25 / 9) as bigint)",
    "hours": "cast(cast(cast(round(a * 25 / 9) as bigint) as decimal(18, 0)) * 0.0000000001 "
    "as decimal(18, 10))",
    "half": "a + cast(round((b - a) / 2) as bigint)",
    "day": "cast(floor(a / 86400000000) as bigint)",
    "share": "cast(floor(a * (cast(b as double) / cast(b + a as double))) as bigint)",
    "percent": "six_decimals(100 * cast(b as double) / (a + b))",
    "percent_of_cost": "six_decimals(100 * cast(x as double) / nullif(cast(x + y as double), 0))",
    "minutes": "six_decimals(cast(cast(a as decimal(20, 0)) * 0.000001 as double) / 60)",
    "difference": "x - y",
    "cost": "cast(cast(y as decimal(17, 10)) * cast(x as decimal(20, 12)) as decimal(37, 22))",
    "rounded": "cast(x as decimal(20, 10))",
    "seconds": "cast(a as decimal(20, 0)) * 0.000001",
    "missed": "cast(round(d * a / 1000000) as bigint)",
}
GROUPED = {
    "median": "median(a)",
    # Of waits, which are no longer than some months.
    **{
        f"p{part}": f"percentile_cont(0.{part}) within group (order by a % 10000000000000)"
        for part in (5, 9, 99)
    },
    "sum": "sum(x)",
    "last": "max_by(b, a) filter (where b is not null)",
}


@pytest.fixture(scope="module")
def numbers() -> pa.Table:
    """Numbers of every size, many of them such that a half has to be rounded."""
    some = random.Random(7)
    digits = [some.choice([3, 6, 9, 12, 14]) for _ in range(ROWS)]
    return pa.table(
        {
            "g": pa.array([some.randrange(ROWS // 7) for _ in range(ROWS)], pa.int64()),
            "a": pa.array([some.randrange(10**many) for many in digits], pa.int64()),
            "b": pa.array([some.randrange(1, 10**many) * 8 for many in reversed(digits)], pa.int64()),
            "x": pa.array([_cost(some) for _ in range(ROWS)], pa.decimal128(37, 22)),
            "y": pa.array([_cost(some) for _ in range(ROWS)], pa.decimal128(37, 22)),
            "d": pa.array([some.random() for _ in range(ROWS)], pa.float64()),
        }
    )


def _cost(some: random.Random) -> Decimal:
    places = some.choice([2, 7, 11, 22])
    return Decimal(some.randrange(10 ** (places + some.choice([0, 1, 3, 6])))).scaleb(-places)


def results(numbers: pa.Table, cluster: Cluster, query: str) -> tuple[pa.Table, pa.Table]:
    """What DuckDB and what Spark answer."""
    with duckdb.connect() as connection:
        views.make_functions(connection)
        connection.register("numbers", numbers)
        ours = connection.sql(query).to_arrow_table()
    session = spark.session(cluster.master)
    session.createDataFrame(numbers).createOrReplaceTempView("numbers")
    return ours, session.sql(query).toArrow()


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_an_expression_gives_the_same_digits(name: str, numbers: pa.Table, cluster: Cluster) -> None:
    ours, theirs = results(
        numbers,
        cluster,
        f"select a, b, x, y, d, {EXPRESSIONS[name]} as found from numbers order by a, b, x, y",
    )
    assert theirs.num_rows == ROWS
    unlike = [pair for pair in zip(exact(ours), exact(theirs), strict=True) if pair[0] != pair[1]]
    assert unlike[:3] == []


@pytest.mark.parametrize("name", GROUPED)
def test_a_group_gives_the_same_digits(name: str, numbers: pa.Table, cluster: Cluster) -> None:
    query = f"select g, {GROUPED[name]} as found from numbers group by g"
    if name.startswith("p") and name[1:].isdigit():
        query = f"select g, six_decimals(found / 60000000) as found from ({query}) as grouped"
    ours, theirs = results(numbers, cluster, f"{query} order by g")
    unlike = [pair for pair in zip(exact(ours), exact(theirs), strict=True) if pair[0] != pair[1]]
    assert unlike[:3] == []
