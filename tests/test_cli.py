"""The command line: where a query comes from, where a result goes, and how it says no."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result

from etl import __version__, reports
from etl.cli import main
from etl.lake import Lake
from etl.render import FORMATS

HEAVY = {"deltalake", "duckdb", "numpy", "pandas", "prompt_toolkit", "pyarrow", "requests"}
COUNT = "select count(*) as n from instances"


def demeter(*arguments: str | Path, lake: Lake | None = None, typed: str | bytes | None = None) -> Result:
    """Run the command as a user would."""
    place = ["--lake", str(lake.path)] if lake else []
    return CliRunner().invoke(main, [*place, *map(str, arguments)], input=typed)


def loaded(*arguments: str) -> set[str]:
    """The packages that a command has imported when it ends, in a process of its own."""
    program = (
        "import atexit, sys\n"
        "atexit.register(lambda: print(*{n.partition('.')[0] for n in sys.modules}, file=sys.stderr))\n"
        "from etl.cli import command\n"
        f"sys.argv = ['demeter', *{list(arguments)!r}]\n"
        "command()"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)  # noqa: S603
    return set(done.stderr.split())


@pytest.mark.parametrize(
    "arguments",
    [("--version",), ("--help",), ("sql", "--help"), ("schema",), ("schema", "instances"), ("report",)],
)
def test_what_needs_no_data_loads_no_library_for_it(arguments: tuple[str, ...]) -> None:
    found = loaded(*arguments)
    assert "click" in found
    assert found & HEAVY == set()


def test_what_reads_a_lake_loads_what_that_takes_and_no_more(built_lake: Lake) -> None:
    found = loaded("--lake", str(built_lake.path), "report", "usage_by_user")
    assert found & HEAVY == {"deltalake", "duckdb", "pyarrow"}


def test_the_version_is_the_packages() -> None:
    assert demeter("--version").output == f"demeter, version {__version__}\n"


@pytest.mark.parametrize("command", sorted(main.commands))
def test_every_command_tells_what_it_does(command: str) -> None:
    result = demeter(command, "--help")
    assert result.exit_code == 0
    assert main.commands[command].help


def test_a_query_comes_from_the_argument_a_file_or_standard_input(small_lake: Lake, tmp_path: Path) -> None:
    file = tmp_path / "count.sql"
    file.write_text(COUNT + ";\n")
    told = {
        demeter("sql", COUNT, lake=small_lake).stdout,
        demeter("sql", "-f", file, lake=small_lake).stdout,
        demeter("sql", "--file", "-", lake=small_lake, typed=COUNT).stdout,
        demeter("sql", "-", lake=small_lake, typed=COUNT).stdout,
        demeter("sql", lake=small_lake, typed=COUNT).stdout,
    }
    assert [text.split() for text in told] == [["n", "---", "8", "(1", "row)"]]


def test_a_query_in_two_places_is_refused(small_lake: Lake, tmp_path: Path) -> None:
    file = tmp_path / "count.sql"
    file.write_text(COUNT)
    result = demeter("sql", COUNT, "-f", file, lake=small_lake)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == "demeter: a query was given twice: give QUERY or --file, not both\n"


def test_a_query_that_is_not_text_is_refused(small_lake: Lake, tmp_path: Path) -> None:
    file = tmp_path / "count.sql"
    file.write_bytes(b"select '\xff'")
    result = demeter("sql", "-f", file, lake=small_lake)
    assert result.exit_code == 2
    assert result.stderr == f"demeter: {file} is not UTF-8 text: save it as UTF-8\n"


def test_each_format_tells_the_same(small_lake: Lake, tmp_path: Path) -> None:
    text = "select instance_id, status from instances order by instance_id"
    outputs = {}
    for format in FORMATS:
        outputs[format] = tmp_path / f"result-as-{format}"
        result = demeter("sql", text, "--format", format, "-o", outputs[format], lake=small_lake)
        assert (result.exit_code, result.output) == (0, "")
    expected = pq.read_table(outputs["parquet"]).to_pylist()
    assert len(expected) == 8
    assert json.loads(outputs["json"].read_text()) == expected
    rows = list(csv.DictReader(io.StringIO(outputs["csv"].read_text())))
    assert [{name: value or None for name, value in row.items()} for row in rows] == expected
    for format in ("table", "md"):
        shown = outputs[format].read_text()
        assert all(row["instance_id"] in shown for row in expected)


ODD = """select
    true as a, 1::hugeint as b, 1.5::double as c, 1.25::decimal(38, 2) as d, 'text' as e,
    date '2026-10-12' as f,
    timestamp '2026-10-12 00:00:00' as g, timestamptz '2026-10-12 00:00:00+00' as h,
    timestamp_ns '2026-10-12 00:00:00.123456789' as i, time '12:00:00' as j, interval 1 day as k,
    [1, 2] as l, {'x': 1} as m, map {'y': 2} as n, 'blob'::blob as o, null as p, 'enum'::enum('enum') as q,
    uuid '00000000-0000-0000-0000-000000000001' as r
"""
PROCESS = "import sys; from etl.cli import command; sys.argv[0] = 'demeter'; command()"


@pytest.mark.parametrize("format", FORMATS)
def test_a_process_of_its_own_shows_each_type_in_each_format_without_numpy_and_pandas(
    format: str, small_lake: Lake, tmp_path: Path
) -> None:
    output = tmp_path / f"result.{format}"
    words = ["--lake", str(small_lake.path), "sql", ODD, "--format", format, "-o", str(output)]
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-c", PROCESS, *words], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    shown = CliRunner().invoke(main, [*words[:-1], str(tmp_path / "with-pandas")])
    assert shown.exit_code == 0
    assert output.read_bytes() == (tmp_path / "with-pandas").read_bytes()


def test_a_file_is_written_in_the_format_of_its_name(small_lake: Lake, tmp_path: Path) -> None:
    for suffix in ("csv", "json", "md", "parquet"):
        named, told = tmp_path / f"named.{suffix}", tmp_path / f"told-{suffix}"
        demeter("sql", COUNT, "-o", named, lake=small_lake)
        demeter("sql", COUNT, "--format", suffix, "-o", told, lake=small_lake)
        assert named.read_bytes() == told.read_bytes()
    demeter("sql", COUNT, "--format", "json", "-o", tmp_path / "x.csv", lake=small_lake)
    assert json.loads((tmp_path / "x.csv").read_text()) == [{"n": 8}]


def test_a_query_that_fails_leaves_the_file_as_it_was(small_lake: Lake, tmp_path: Path) -> None:
    file = tmp_path / "kept.csv"
    file.write_text("kept")
    result = demeter("sql", "from nowhere_at_all", "-o", file, lake=small_lake)
    assert result.exit_code == 2
    assert file.read_text() == "kept"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("sql", "selec 1"), 'this is not SQL: syntax error at or near "selec"'),
        (("sql", "drop view instances"), "DROP is refused: queries only read"),
        (("sql", "from instnces"), 'Did you mean "instances"?'),
        (("report", "queu_now"), "there is no report 'queu_now': did you mean 'queue_now'?"),
        (("schema", "instnces"), "there is no table 'instnces': did you mean 'instances'?"),
        (("sql", COUNT, "-o", "x.xslx"), "x.xslx is named after no format: its name ends with .csv"),
        (("sql", "select 'infinity'::timestamptz as t"), "a time is not within the years 1 to 9999"),
        (("sql", COUNT, "-o", "/nowhere/at/all.csv"), "cannot write /nowhere/at/all.csv"),
    ],
)
def test_a_mistake_is_one_line_on_standard_error_and_status_2(
    arguments: tuple[str, ...], message: str, small_lake: Lake
) -> None:
    result = demeter(*arguments, lake=small_lake)
    assert (result.exit_code, result.stdout) == (2, "")
    assert message in result.stderr
    assert result.stderr.startswith("demeter: ")
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ("emulate", "--port", "99999"),
        ("emulate", "--speed", "-3"),
        ("emulate", "--instances", "-4"),
        ("demo", "--every", "0"),
        ("demo", "--days", "0"),
    ],
)
def test_a_number_that_cannot_be_is_refused_by_its_option(arguments: tuple[str, ...], tmp_path: Path) -> None:
    result = demeter(*arguments, lake=Lake(tmp_path / "lake"))
    assert result.exit_code == 2
    assert f"Invalid value for '{arguments[1]}': {arguments[2]}" in result.stderr
    assert not (tmp_path / "lake").exists()


def test_a_trace_is_shown_when_it_is_asked_for(small_lake: Lake) -> None:
    assert "Traceback" in demeter("-v", "sql", "selec 1", lake=small_lake).stderr


@pytest.mark.parametrize("arguments", [("sql", COUNT), ("report", "queue_now"), ("sql", "-")])
def test_a_lake_that_is_not_there_is_named(arguments: tuple[str, ...], tmp_path: Path) -> None:
    result = demeter(*arguments, lake=Lake(tmp_path / "lake"), typed=COUNT)
    assert result.exit_code == 2
    assert f"there is no lake at {tmp_path / 'lake'}: run `demeter sweep`" in result.stderr


def test_reports_are_listed_with_question_and_grain() -> None:
    told = json.loads(demeter("report", "--format", "json").stdout)
    assert [row["report"] for row in told] == [report.name for report in reports.reports()]
    assert all(row["question"] and row["grain"] for row in told)


def test_a_report_is_the_query_in_its_file(small_lake: Lake) -> None:
    report = reports.report("inventory_by_status")
    result = demeter("report", "inventory_by_status", "--format", "csv", lake=small_lake)
    assert result.stdout == demeter("sql", "--format", "csv", lake=small_lake, typed=report.sql).stdout
    assert result.stdout.count("\n") == 7


def test_the_dictionary_needs_no_lake_and_has_every_format(tmp_path: Path) -> None:
    nowhere = Lake(tmp_path / "lake")
    text = demeter("schema", "attributes", lake=nowhere).stdout
    assert text.startswith("attributes: one key of one map of one owner; all its versions are in attribute")
    assert "owner_kind = 'profile' and map = 'labels'" in text
    told = json.loads(demeter("schema", "attributes", "--format", "json", lake=nowhere).stdout)
    assert {"column", "type", "unit", "meaning", "field", "notebooks field", "reference"} == set(told[0])
    assert "| instances | instance_history |" in demeter("schema", "--format", "md").stdout.replace("\\", "")


def test_a_command_leaves_the_way_of_imports_as_it_was() -> None:
    before = list(sys.meta_path)
    assert demeter("schema").exit_code == 0
    assert sys.meta_path == before
