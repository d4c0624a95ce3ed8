"""Fill the examples of README.md with what a real run of the demo prints.

`make docs` runs it; `make test-examples` runs it with --check, and holds the committed page to what it gives.
"""

from __future__ import annotations

import difflib
import re
import shlex
import sys
import tempfile
from pathlib import Path

from click.testing import CliRunner

from etl.cli import main
from etl.demo import Demo, fill

PAGE = Path(__file__).parents[1] / "README.md"
EXAMPLE = re.compile(
    r"(?<=```console\n)(\$ demeter --lake demeter-demo (.*?))\n(?=[^ ]).*?(?=```)", re.DOTALL
)
SWEEP = re.compile(r"\d{8}T\d{12}Z-\w{6}")


def filled(page: str, directory: Path) -> str:
    """A page with the output of every command over the demo's lake that it shows."""
    lake = directory / "demeter-demo"
    fill(lake, Demo(), lambda done, total: None)
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
    """Write the page, or with --check say how it differs."""
    before = PAGE.read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory() as directory:
        after = filled(before, Path(directory))
    if "--check" not in arguments:
        PAGE.write_text(after, encoding="utf-8")
        return
    difference = list(
        difflib.unified_diff(before.splitlines(), after.splitlines(), "README.md", "a run", lineterm="")
    )
    if difference:
        raise SystemExit("\n".join([*difference, "README.md shows another run than this: `make docs`"]))
    print(f"README.md shows what {len(EXAMPLE.findall(after))} commands print.")


if __name__ == "__main__":
    run(sys.argv[1:])
