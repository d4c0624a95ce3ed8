"""A lake of many projects in which all that is odd happens: lost sweeps, unread documents, hostile names."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from growing import UNREAD, growing, tidy
from histories import UNSEEN
from hypothesis import HealthCheck, assume, given, settings
from lakes import MIDNIGHT, of_lives, states, sweep_into
from test_incremental import BEGIN, HOUR, histories

from bench.relations import PROJECT, Row
from etl import marts
from etl.build import Built, build
from etl.emulator import Clock, Emulator
from etl.lake import Lake
from etl.settings import Settings

# The clocks go back on the 25th of October.
ZONE = "Europe/Berlin"
PROJECTS = 16
LONGEST_US = 20 * 24 * HOUR
HOSTILE = (
    *(
        "=1+1",
        "'; drop table sweeps; --",
        "<script>alert(1)</script>",
        "a\nb\tc",
        "$from :from",
        "\\\\",
        "%_",
    ),
    *("名字 🦄", "null", "NaN", "\u202egnirts", "x" * 3000, '´`"', "e\u0301", "\U0001f600"),
)
PRICES = """sku,region,kind,unit,currency,unit_price,valid_from,valid_to
ascend.2,,compute,hour,CNY,10.33333333,,
cpu.2u,,compute,hour,CNY,1.23456789,,2026-10-24
cpu.2u,,compute,hour,EUR,0.17000001,2026-10-24,
cpu.2u,cn-north-4,compute,hour,CNY,1.11111111,2026-10-26,
cpu.8u,,compute,hour,CNY,7.77,,
cpu.free,,compute,hour,CNY,0.3,,
gpu,,compute,hour,USD,4,,
evs,,storage,gb_hour,CNY,0.00140007,,
pool-1,,pool,hour,CNY,30.00000003,,
"""
RATES = "from_currency,to_currency,rate,valid_from,valid_to\nEUR,CNY,7.8912345678,,\n"


@dataclass(frozen=True)
class Pair:
    """The same lake, built by DuckDB and by Spark, and what each build told."""

    by_duckdb: Lake
    by_spark: Lake
    told_by_duckdb: Built
    told_by_spark: Built


def lake(directory: Path) -> Lake:
    """The lake, which nothing is built of, beside its prices and exchange rates."""
    found = of_lives(directory)
    shutil.rmtree(found.path / "marts")
    with Emulator.of_documents([], Clock.at(MIDNIGHT)) as service:
        for documents in states():
            service.documents = documents
            sweep_into(found.path, service)
            service.clock.advance(hours=1)
    for number, (sweeps, seen) in enumerate(examples()):
        own = growing(directory / f"project-{number}", sweeps, hostile(number, seen))
        _commit(found, f"project-{number:02}", own.sweeps, own.rows)
    found.keep_house()
    (directory / "prices.csv").write_text(PRICES, encoding="utf-8")
    (directory / "rates.csv").write_text(RATES, encoding="utf-8")
    return found


def settings_of(lake: Lake, **others: Any) -> Settings:
    """The settings that the lake is built by."""
    folder = lake.path.parent
    given: dict[str, Any] = {
        "lake": str(lake.path),
        "tz": ZONE,
        "region": "cn-north-4",
        "prices": str(folder / "prices.csv"),
        "exchange_rates": str(folder / "rates.csv"),
    }
    return Settings(**given | others)


def built_by_duckdb(lake: Lake, full: bool = False) -> Built:
    return build(settings_of(lake), lake, full=full)


def copy(lake: Lake, directory: Path) -> Lake:
    """The same lake, with its prices, in another directory."""
    shutil.copytree(lake.path.parent, directory, ignore=shutil.ignore_patterns("project-*"))
    return Lake(directory / "lake")


def examples() -> list[Any]:
    """Histories as the tests of builds make them up, the same in every run."""
    found: list[Any] = []

    @settings(
        max_examples=PROJECTS,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
    )
    @given(histories())
    def collect(history: Any) -> None:
        sweeps, _ = history
        assume(sweeps[-1].at_us < BEGIN + LONGEST_US)
        found.append(history)

    collect()
    return found


def hostile(number: int, seen: dict[str, Sequence[Any]]) -> dict[str, list[Any]]:
    """The same documents with names, and ids of all that instances belong to, that nobody would wish for."""

    def named(document: Any, place: int) -> Any:
        if document is None or document is UNREAD or document is UNSEEN:
            return document
        names = [HOSTILE[(number + place + each) % len(HOSTILE)] for each in range(3)]
        return document | dict(zip(("name", "user_id", "workspace_id"), names, strict=True))

    return {
        name: [named(document, place // 3) for place, document in enumerate(documents)]
        for name, documents in seen.items()
    }


def _commit(lake: Lake, project_id: str, sweeps: list[Row], rows: dict[str, dict[str, list[Row]]]) -> None:
    """Write all sweeps of a project at once."""
    tables: dict[str, list[Row]] = {}
    for sweep in sweeps:
        for name, found in rows.get(sweep["sweep_id"], {}).items():
            tables.setdefault(name, []).extend(found)
    tables["sweeps"] = sweeps
    for name, found in tables.items():
        mine = [
            row | {"project_id": project_id, "sweep_id": f"{project_id}-{row['sweep_id']}"} for row in found
        ]
        assert all(row.get("project_id", PROJECT) == PROJECT for row in found)
        if mine:
            lake.append(name, tidy(name, mine))


def seen(lake: Lake) -> dict[str, Any]:
    """Every mart as readers see it, in order, with its columns."""
    from etl import views

    with views.connect(lake) as connection:
        return {name: connection.sql(f"from {name} order by all").to_arrow_table() for name in marts.SEEN}
