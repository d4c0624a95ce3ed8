"""What the repository promises of itself: its locks, its line, its SQL, its documentation."""

from __future__ import annotations

import ast
import re
import socket
import tomllib
from graphlib import TopologicalSorter
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PROMISED = [Requirement(line) for line in PYPROJECT["project"]["dependencies"]]
OPTIONAL = {
    name: [Requirement(line) for line in lines]
    for name, lines in PYPROJECT["project"]["optional-dependencies"].items()
}
# What serves the notebooks and what works on a cluster have environments of their own; all others are in
# each that tests.
APART = ("notebook", "spark")
EXTRAS = [requirement for name, lines in OPTIONAL.items() if name not in APART for requirement in lines]
LOCKS = ["runtime", "aksk", "otel", "notebook", "dev", "duckdb15", "fuzz", "lowest", "notebooks", "spark"]


def locked(name: str) -> dict[str, set[str]]:
    """Give the versions that a lock file holds of each package: several where Python decides."""
    versions: dict[str, set[str]] = {}
    for package, version in re.findall(
        r"^([\w.-]+)==([^\s;\\]+)", (ROOT / f"requirements/{name}.txt").read_text(), re.MULTILINE
    ):
        versions.setdefault(package, set()).add(version)
    return versions


def module_name(path: Path) -> str:
    """Give the name that a file of etl is imported by."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


FILES = {module_name(path): path for path in sorted((ROOT / "etl").rglob("*.py"))}


def imported(path: Path) -> set[str]:
    """Give the modules of etl that a module imports, at its top or inside its functions."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                member = f"{node.module}.{alias.name}"
                found.add(member if member in FILES else str(node.module))
    # The package itself is there before any of its modules, and names them only when it is asked.
    return found & set(FILES) - {"etl"}


IMPORTED = {name: imported(path) for name, path in FILES.items()}


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_holds_every_dependency_at_a_promised_version(name: str) -> None:
    versions = locked(name)
    of_extras = {"runtime": [], "notebooks": [*EXTRAS, *OPTIONAL["notebook"]], **OPTIONAL}.get(name, EXTRAS)
    broken = [
        str(requirement)
        for requirement in PROMISED + of_extras
        if not versions.get(requirement.name)
        or not all(requirement.specifier.contains(v) for v in versions[requirement.name])
    ]
    assert broken == [], "run `make lock`"


def test_the_lowest_lock_holds_each_lower_bound_itself() -> None:
    bounds = {
        (requirement.name, Version(specifier.version))
        for requirement in PROMISED + EXTRAS
        for specifier in requirement.specifier
        if specifier.operator == ">="
    }
    held = {(name, Version(v)) for name, versions in locked("lowest").items() for v in versions}
    assert bounds <= held


def test_the_two_lines_of_duckdb_are_both_locked() -> None:
    lines = {name: locked(name)["duckdb"].pop().split(".")[:2] for name in ("dev", "duckdb15")}
    assert lines == {"dev": ["2", "0"], "duckdb15": ["1", "5"]}


def test_modules_import_in_one_direction() -> None:
    assert set(TopologicalSorter(IMPORTED).static_order()) == set(FILES)


def test_the_emulated_service_knows_nothing_of_the_line() -> None:
    beyond = {
        (name, other)
        for name, others in IMPORTED.items()
        for other in others
        if name.startswith("etl.emulator")
        and not other.startswith("etl.emulator")
        and other not in ("etl", "etl.errors")
    }
    assert beyond == set()


def test_every_relation_opens_with_its_meaning_and_its_grain() -> None:
    silent = {
        path.name
        for path in (ROOT / "sql").rglob("*.sql")
        if not re.match(r"-- \S.*\n(--.*\n)*-- Grain: \S", path.read_text())
    }
    assert silent == set()


def test_every_target_that_the_developer_page_names_exists_and_none_is_left_out() -> None:
    targets = set(re.findall(r"^([a-z][a-z0-9-]*):.*##", (ROOT / "Makefile").read_text(), re.M))
    named = re.findall(r"`make ([a-z][a-z0-9-]*)", (ROOT / "docs/developer.md").read_text())
    assert set(named) == targets


def test_a_connection_to_another_machine_fails_the_test_that_makes_it() -> None:
    with (
        socket.socket() as connection,
        pytest.raises(pytest.fail.Exception, match=r"192\.0\.2\.1"),
    ):
        connection.connect(("192.0.2.1", 80))
