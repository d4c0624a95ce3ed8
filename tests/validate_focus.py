"""Run the FOCUS validator over an export with every kind of charge: `make test-focus`.

Given the environment that holds the validator, it prints what was checked, and ends with 1 where a
rule fails that an export can keep. What the validator does not look at, test_focus.py does.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from datetime import date
from decimal import Decimal
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq
from books import Books, charge, disk, seen

from etl import focus
from etl.demo import Demo, fill
from etl.settings import Settings

# What the rules presume of who provides the data. An estimate belongs to no invoice; of the two halves
# of "null without an invoice, a value with one" the validator counts the other as failed.
CRITERIA = (
    "ACCOUNT_NAMING",
    "BILLING_BASED_ON_PROVISIONED_RESOURCES",
    "MULTIPLE_PRICING_CATEGORIES",
    "NEGOTIATED_PRICING",
    "PRICING_BILLING_CURRENCY_DIFFERENCES",
    "PUBLIC_PRICE_LIST",
    "REGION",
    "RESOURCE_TYPE_ASSIGNMENT",
    "SUB_ACCOUNT",
    "TAGGING",
    "UNIT_PRICING",
    "USAGE_MEASUREMENT",
)
OF_AN_INVOICE = {"InvoiceId-C-004-C", "InvoiceId-C-005-C"}
NAMED = {"billing_account_name": "Research", "region": "cn-north-4", "region_name": "Beijing 4"}
# With fewer the rules were not applied, whatever came of them.
LEAST_PASSED = 250
TOTALS = re.compile(r"Total: *(\d+).*?Pass: *(\d+).*?Fail: *(\d+).*?Skipped: *(\d+)", re.DOTALL)


def swept(directory: Path) -> list[Path]:
    """The file of a month in which an emulated fleet was swept, built and priced.

    Names that are not ASCII are left out: FOCUS wants them as they are, and the validator refuses them.
    """
    lake = fill(directory / "swept", Demo(days=1, every_minutes=120, instances=60), lambda done, total: None)
    settings = Settings(lake=str(lake.path), **NAMED)
    [file, *_] = focus.export(lake, settings, "2026-10", directory / "fleet").paths
    rows = pq.read_table(file)
    pq.write_table(rows.filter(pc.string_is_ascii(rows["ResourceName"])), file)
    return [file]


def by_hand(directory: Path) -> list[Path]:
    """The files of a month with paid, free, shared, foreign and corrected charges.

    Of the two workspaces one is not all digits: in a CSV the validator takes such ids for numbers.
    """
    books = Books(directory, **NAMED)
    books.see(
        seen("instances", "2026-09-30T10:00", instance_id="DE-1", name="notebook", profile_id="p-1"),
        seen("profiles", "2026-09-30T10:00", profile_id="p-1", de_type="Notebook"),
        seen("users", "2026-09-30T10:00", user_id="u-ann", user_name="ann"),
    )
    common = {"workspace_id": "0", "ai_project_id": "ai-1", "cpu_count": 8, "memory_bytes": 2**35}
    october = [
        charge(hours="0.35", price="1.12345678", **common),
        charge(instance_id="DE-2", promo_type="Free", is_waived=True, **common | {"workspace_id": "ws-7"}),
        charge(
            instance_id="DE-3",
            flavor="npu.8",
            sku="npu.1",
            billing_flavor="npu.1",
            billing_ratio=8,
            price_id="price-4",
        ),
        charge(
            instance_id="DE-4",
            price="7.2",
            price_currency="USD",
            price_id="price-3",
            exchange_rate=Decimal("7.2"),
        ),
        disk(),
    ]
    books.keep([charge(date(2026, 9, 30), **common), *october], until=date(2026, 10, 31))
    books.export("2026-09")
    books.keep([charge(date(2026, 9, 30), hours="2", **common), *october], until=date(2026, 10, 31))
    books.export("2026-10")
    return books.exported.paths[:2]


def validate(environment: Path, file: Path) -> str:
    """What the validator says of a file, without a network."""
    python = environment / "bin" / "python"
    code = "import focus_validator, pathlib; print(pathlib.Path(focus_validator.__file__).parent)"
    package = Path(subprocess.check_output([python, "-c", code], text=True).strip())  # noqa: S603
    # It looks for this list below the directory that it is run in.
    here = file.parent / "validator"
    (here / "focus_validator/rules").mkdir(parents=True, exist_ok=True)
    shutil.copy(package / "rules/currency_codes.csv", here / "focus_validator/rules")
    criteria = ",".join(f"{each}_SUPPORTED" for each in CRITERIA)
    options = ["--validate-version", "1.2", "--focus-dataset", "CostAndUsage", "--block-download"]
    command = [environment / "bin" / "focus-validator", "--data-file", file, *options]
    found = subprocess.run(  # noqa: S603
        [*command, "--show-violations", "--applicability-criteria", criteria],
        cwd=here,
        capture_output=True,
        text=True,
        env={**os.environ, "NO_COLOR": "1"},
    )
    return found.stdout + found.stderr


def judge(name: str, output: str) -> Iterable[str]:
    """What is wrong with a file, or with the way that the validator looked at it."""
    totals = TOTALS.search(output)
    if not totals:
        yield f"{name}: the validator gave no totals:\n{output[-2000:]}"
        return
    checked, passed, failed, skipped = map(int, totals.groups())
    print(f"{name}: {checked} checks, {passed} passed, {failed} failed, {skipped} skipped")
    failures = set(re.findall(r"^.*?([A-Z]\w+-[ACD]-\d{3}-[MCO]).*?FAIL", output, re.MULTILINE))
    if failures - OF_AN_INVOICE or failed > len(failures) or passed < LEAST_PASSED:
        yield f"{name}: {sorted(failures - OF_AN_INVOICE)}\n{output.partition('--- Failures ---')[2]}"


def main(environment: Path) -> int:
    with tempfile.TemporaryDirectory() as directory:
        files = [*by_hand(Path(directory)), *swept(Path(directory))]
        wrong = [
            each
            for file in files
            for each in judge(f"{file.parent.name}/{file.name}", validate(environment, file))
        ]
    print("\n".join(wrong) or "Only what asks for an invoice fails, as it must.", file=sys.stderr)
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]).absolute()))
