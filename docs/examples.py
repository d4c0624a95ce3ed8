"""Fill the examples of the pages with what a real run of the demo prints.

`make docs` runs it; `make test-examples` runs it with --check, and holds the pages to what it gives.
"""

from __future__ import annotations

import difflib
import re
import shlex
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from click.testing import CliRunner

from etl.cli import main
from etl.demo import Demo, fill

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("tutorial-*.md"))]
EXAMPLE = re.compile(
    r"(?<=```console\n)(\$ demeter --lake demeter-demo (.*?))\n(?=[^ ]).*?(?=```)", re.DOTALL
)
SWEEP = re.compile(r"\d{8}T\d{12}Z-\w{6}")


def filled(page: str, lake: Path) -> str:
    """A page with the output of every command over the demo's lake that it shows."""
    return EXAMPLE.sub(lambda shown: f"{shown[1]}\n{_output(lake, shown[2])}", page)


def _output(lake: Path, command: str) -> str:
    """What a command prints; the ids of sweeps, which are made by the clock, are always the same."""
    result = CliRunner().invoke(main, ["--lake", str(lake), *shlex.split(command)])
    if result.exit_code:
        raise SystemExit(f"demeter {command} ends with {result.exit_code}: {result.stderr}")
    numbers: dict[str, str] = {}
    return SWEEP.sub(
        lambda found: numbers.setdefault(found[0], f"20261012T0000{len(numbers):02}000000Z-a1b2c3"),
        result.stdout,
    )


def run(arguments: list[str]) -> None:
    """Write the pages, or with --check say how they differ."""
    with tempfile.TemporaryDirectory() as directory:
        lake = Path(directory) / "demeter-demo"
        fill(lake, Demo(), lambda done, total: None)
        pages = {path: filled(path.read_text(encoding="utf-8"), lake) for path in PAGES}
    if "--check" not in arguments:
        for path, after in pages.items():
            path.write_text(after, encoding="utf-8")
        return
    difference = [line for path, after in pages.items() for line in _difference(path, after)]
    if difference:
        raise SystemExit("\n".join([*difference, "pages show another run than this: `make docs`"]))
    count = sum(len(EXAMPLE.findall(after)) for after in pages.values())
    print(f"{len(pages)} pages show what {count} commands print.")


def _difference(path: Path, after: str) -> Iterator[str]:
    name, before = str(path.relative_to(ROOT)), path.read_text(encoding="utf-8")
    yield from difflib.unified_diff(
        before.splitlines(), after.splitlines(), name, f"{name}, a run", lineterm=""
    )


if __name__ == "__main__":
    run(sys.argv[1:])
