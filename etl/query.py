"""A query over a lake: one statement that reads, and its result.

Statement types alone do not tell: DuckDB 2 takes a SELECT whose WITH writes a file. So the parse
tree is looked at, which DuckDB's own parser gives, and only what is known to read is let through.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import duckdb
import pyarrow as pa

from etl import damage, views
from etl.errors import DemeterError, UsageError
from etl.lake import Lake

WAYS_TO_READ = "SELECT, FROM, WITH, VALUES, DESCRIBE, SHOW, SUMMARIZE and EXPLAIN"
NODES = frozenset({"SELECT_NODE", "SET_OPERATION_NODE", "RECURSIVE_CTE_NODE", "CTE_NODE"})
# Functions in FROM: those that give rows of their arguments or of the catalog. Not among them are
# those that read files, write logs or run text as SQL.
TABLE_FUNCTIONS = frozenset(
    {
        "duckdb_columns",
        "duckdb_functions",
        "duckdb_keywords",
        "duckdb_settings",
        "duckdb_tables",
        "duckdb_types",
        "duckdb_views",
        "generate_series",
        "histogram",
        "histogram_values",
        "json_each",
        "json_tree",
        "pg_timezone_names",
        "pragma_table_info",
        "pragma_version",
        "query_table",
        "range",
        "repeat",
        "repeat_row",
        "summary",
        "unnest",
    }
)
# What DuckDB says of a file that is damaged, among other things.
MAY_BE_DAMAGE = (
    duckdb.Error,
    duckdb.IOException,
    duckdb.InvalidInputException,
    duckdb.InternalException,
)
# What asks which views there are.
_ABOUT_ALL = re.compile(r"\b(?:show|information_schema|duckdb_\w+|pg_\w+|sqlite_\w+)\b", re.IGNORECASE)
# What comes before the statement is words alone: no comment or literal can hide in it.
_EXPLAIN = re.compile(
    r"(?:\s|--[^\r\n]*[\r\n])*explain(?:\s+analyze\b|\s*\([\w\s,]*\))?(.*)", re.IGNORECASE | re.DOTALL
)


def run(lake: Lake, query: str, values: Mapping[str, Any] | None = None) -> pa.Table:
    """The result of one reading statement over the views of a lake, with a value for each of its
    $parameters; UsageError says what is wrong."""
    lake.check()
    check(query)
    wanted = None if _ABOUT_ALL.search(query) else query
    try:
        with reading(lake, wanted) as read:
            return read(query, values)
    except duckdb.CatalogException:
        # What is misspelled is told from what there is; and a query may make up a name.
        with reading(lake) as read:
            return read(query, values)


@contextmanager
def reading(lake: Lake, wanted: str | None = None) -> Iterator[Callable[..., pa.Table]]:
    """What runs one statement after the other over the views of a lake as it is now, as `run` does.

    The views are those that a text names, if one is given; duckdb.CatalogException where that does not do.
    """
    with damage.named(lake.root), views.connect(lake, wanted) as connection:
        # It holds for tables what the check holds for files.
        connection.execute("begin transaction read only")

        def read(query: str, values: Mapping[str, Any] | None = None) -> pa.Table:
            check(query)
            try:
                return _shown(_result(connection, query, values))
            except duckdb.CatalogException as error:
                if wanted is not None:
                    raise
                raise _explained(error) from None
            except (duckdb.Error, pa.ArrowException) as error:
                # A file that leads out of the lake is told as one that may not be read.
                is_inside = lake.is_directory and str(lake) in str(error)
                leads_out = is_inside and isinstance(error, duckdb.PermissionException)
                may_be = leads_out or type(error) in MAY_BE_DAMAGE
                if may_be and (damaged := damage.find(lake.root)):
                    raise damaged from None
                raise _explained(error) from None

        yield read


def _explained(error: Exception) -> DemeterError:
    """The error to raise for one of DuckDB's."""
    if isinstance(error, duckdb.IOException):
        return DemeterError(f"the lake cannot be read: {_one_line(error)}; run it again")
    if isinstance(error, duckdb.OutOfMemoryException):
        return UsageError(
            f"the query needs too much memory: {_one_line(error)}; ask for fewer columns or days"
        )
    return UsageError(f"the query fails: {_one_line(error)}; mend it, `demeter schema` has the columns")


def split(text: str) -> list[str]:
    """The statements of a text, each by itself; UsageError where it is not SQL."""
    return [statement.query or text for statement in _statements(text)]


def check(query: str) -> None:
    """Raise UsageError unless the query is one statement that does nothing but read."""
    statements = _statements(query)
    if not statements:
        raise UsageError(f"there is no query: give one that begins with {WAYS_TO_READ}")
    if statements[0].type == duckdb.StatementType.MULTI or not statements[0].query:
        raise UsageError("a PIVOT without values is several statements: name them, ON column IN (...)")
    if len(statements) > 1:
        raise UsageError(f"{len(statements)} statements were given: run them one at a time")
    kind = statements[0].type
    if kind == duckdb.StatementType.EXPLAIN:
        explained = _EXPLAIN.fullmatch(query)
        _check_tree(explained[1] if explained else query)
    elif kind == duckdb.StatementType.SELECT:
        _check_tree(query)
    else:
        raise UsageError(f"{kind.name} is refused: queries only read, with {WAYS_TO_READ}")


def _statements(query: str) -> list[duckdb.Statement]:
    try:
        return list(duckdb.extract_statements(query))
    except duckdb.Error as error:
        raise UsageError(f"this is not SQL: {_one_line(error)}; mend it there") from None
    except TypeError:
        raise UsageError(
            "this is not SQL: it holds characters that are not Unicode text, so write it anew"
        ) from None


def _check_tree(query: str) -> None:
    """Raise UsageError unless every part of the statement is one that reads."""
    with duckdb.connect(":memory:") as connection:
        found = connection.execute("select json_serialize_sql($1::varchar)", [query]).fetchone()
    try:
        tree = json.loads(found[0]) if found else {"error": True}
    except RecursionError:
        raise UsageError("the query is nested too deeply: put parts of it into WITH") from None
    if tree["error"]:
        raise UsageError(f"this statement is refused: queries only read, with {WAYS_TO_READ}")
    for node in _nodes(tree):
        kind = node.get("type")
        if isinstance(kind, str) and kind.endswith("_NODE") and kind not in NODES:
            what = kind.partition("_")[0]
            raise UsageError(f"{what} is refused: queries only read, with {WAYS_TO_READ}")
        if kind == "TABLE_FUNCTION":
            name = node["function"].get("function_name", "")
            if name not in TABLE_FUNCTIONS:
                raise UsageError(f"{name}() is refused: queries read the lake's tables only")


def _nodes(tree: Any) -> Iterator[dict[str, Any]]:
    """Every object inside of a JSON value."""
    waiting = [tree]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            yield value
            waiting.extend(value.values())
        elif isinstance(value, list):
            waiting.extend(value)


def _result(connection: duckdb.DuckDBPyConnection, query: str, values: Mapping[str, Any] | None) -> pa.Table:
    """The result of a query, which Ctrl-C ends: DuckDB itself does not look for it."""
    with ThreadPoolExecutor(1) as pool:
        job = pool.submit(lambda: connection.sql(query, params=values or None).to_arrow_table())
        try:
            return job.result()
        except KeyboardInterrupt:
            connection.interrupt()
            raise


def _shown(result: pa.Table) -> pa.Table:
    """The result with what only DuckDB can show as text: plans a line a row, and intervals."""
    if result.column_names == ["explain_key", "explain_value"]:
        lines = [line for text in result["explain_value"].to_pylist() for line in text.splitlines()]
        return pa.table({"plan": lines})
    for number, field in enumerate(result.schema):
        if pa.types.is_interval(field.type):
            texts = [value and _interval(*value) for value in result.column(number).to_pylist()]
            result = result.set_column(number, field.name, pa.array(texts, pa.string()))
    return result


def _interval(months: int, days: int, nanoseconds: int) -> str:
    """An interval as DuckDB writes it: 1 month 2 days 03:04:05.678."""
    counts = [f"{count} {unit}" for count, unit in ((months, "months"), (days, "days")) if count]
    seconds, rest = divmod(abs(nanoseconds) // 1000, 1_000_000)
    clock = f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
    fraction = f".{rest:06}".rstrip("0") if rest else ""
    sign = "-" if nanoseconds < 0 else ""
    return " ".join([*counts, f"{sign}{clock}{fraction}"])


def _one_line(error: Exception) -> str:
    """DuckDB's message with its hint, without the excerpt of the query."""
    message, _, excerpt = str(error).partition("\nLINE ")
    lines = [line.strip() for line in message.splitlines()]
    text = " ".join(line for line in lines if line)
    text = re.sub(r"^(?:[A-Z]\w+ )+Error: ", "", text)
    line = excerpt.partition(":")[0]
    return f"{text} (line {line})" if line.isdigit() and line != "1" else text
