"""Statements over the views of a lake that Spark runs, and their results."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from etl import spark
from etl.errors import UsageError
from etl.lake import Lake
from etl.sparkviews import Views

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from etl.reports import Report

WAYS_TO_READ = "SELECT, FROM, WITH, VALUES and TABLE"
# These are run as soon as they are analysed.
AT_ONCE = frozenset({"UnresolvedExecuteImmediate", "CompoundBody"})
# What a statement may consist of once it is analysed: all of it reads, and starts no program.
NODES = frozenset(
    {
        *("Project", "Filter", "Aggregate", "Join", "LateralJoin", "Window", "Expand", "Generate", "Sample"),
        *("Sort", "GlobalLimit", "LocalLimit", "Offset", "Distinct", "Deduplicate", "Union", "Except"),
        *("Intersect", "Pivot", "Unpivot", "SubqueryAlias", "View", "Range", "OneRowRelation"),
        *("WithCTE", "CTERelationDef", "CTERelationRef", "UnionLoop", "UnionLoopRef", "AsOfJoin"),
        *("LocalRelation", "LogicalRelation", "LogicalRDD", "DataSourceV2Relation", "ResolvedHint"),
        *("Repartition", "RepartitionByExpression", "RebalancePartitions"),
    }
)
CALLS_JAVA = "CallMethodViaReflection"


def run(master: str, lake: Lake, query: str) -> pa.Table:
    """The result of one reading statement in the SQL of Spark over the views of a lake; UsageError says what
    is wrong."""
    lake.check()
    with _reading(master, lake) as (session, views, read):
        views.make(query)
        _check(session, query)
        return read(query)


def answer(master: str, lake: Lake, chosen: Report, bound: dict[str, Any]) -> pa.Table:
    """The answer of a report with a value for each of its parameters."""
    with reading(master, lake) as read:
        return read(chosen.sql, bound)


@contextmanager
def reading(master: str, lake: Lake) -> Iterator[Callable[..., pa.Table]]:
    """What runs one statement of demeter's own after the other over the views of a lake as it is now, with a
    value for each of its $parameters."""
    with _reading(master, lake) as (_, _, read):
        yield read


@contextmanager
def _reading(master: str, lake: Lake) -> Iterator[tuple[SparkSession, Views, Callable[..., pa.Table]]]:
    with spark.told():
        session = spark.session(master)
        views = Views(session, lake)

        def read(query: str, values: Mapping[str, Any] | None = None) -> pa.Table:
            views.make(query)
            text = named(query) if values else query
            with _explained():
                return session.sql(text, args=dict(values) if values else None).toArrow()

        yield session, views, read


def named(query: str) -> str:
    """A query with its $parameters as Spark writes them."""
    return re.sub(r"\$([a-z]\w*)", r":\1", query)


@contextmanager
def _explained() -> Iterator[None]:
    """Raise UsageError where it is the statement that is at fault, and not the cluster."""
    try:
        yield
    except Exception as error:
        if not spark.is_of_spark(error) or not _is_of_a_query(error):
            raise
        raise UsageError(
            f"the query fails: {spark.one_line(error)}; mend it, `demeter schema` has the columns"
        ) from None


def _is_of_a_query(error: Exception) -> bool:
    """Whether Spark names a condition that a query brings about."""
    condition = str(getattr(error, "getCondition", str)() or "")
    return bool(condition) and not re.match(r"INTERNAL_ERROR|FAILED_READ_FILE|TASK_|JOB_", condition)


def _check(session: SparkSession, query: str) -> None:
    """Raise UsageError unless the query is one statement that does nothing but read."""
    refused = UsageError(f"this statement is refused: queries only read, with {WAYS_TO_READ}")
    # What is on the other side of the gateway has no types here.
    virtual_machine: Any = session._jvm
    state: Any = session._jsparkSession.sessionState()
    mode = virtual_machine.org.apache.spark.sql.execution.CommandExecutionMode.SKIP()
    with _explained():
        parsed = state.sqlParser().parsePlan(query)
        if _kind(parsed) in AT_ONCE:
            raise refused
        nodes = list(_nodes(state.executePlan(parsed, mode).analyzed()))
    if not {_kind(node) for node in nodes} <= NODES:
        raise refused
    expressions = (each for node in nodes for each in _all(node.expressions()))
    if any(CALLS_JAVA in _kind(each) for root in expressions for each in _below(root)):
        raise UsageError("reflect() and java_method() are refused: queries read the lake's tables only")


def _nodes(node: Any) -> Iterator[Any]:
    """Every part of a plan, those of subqueries included."""
    yield node
    for others in (node.children(), node.subqueries(), node.innerChildren()):
        for each in _all(others):
            yield from _nodes(each)


def _below(expression: Any) -> Iterator[Any]:
    yield expression
    for each in _all(expression.children()):
        yield from _below(each)


def _all(sequence: Any) -> Iterator[Any]:
    return (sequence.apply(number) for number in range(sequence.size()))


def _kind(node: Any) -> str:
    return str(node.getClass().getSimpleName())
