"""Lakes that grow sweep by sweep, their tidy rows written straight, and what builds make of them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import pyarrow as pa
from histories import UNSEEN, rows_of

from bench.relations import PROJECT, Row, Sweep, of_sweep
from etl import marts, views
from etl.build import Built, build
from etl.dictionary import table
from etl.lake import Lake, schema
from etl.settings import Settings

TABLES = {
    "instance_history": "instances",
    "queue_history": "queue",
    "billing_history": "billing",
    "flavor_history": "flavors",
}
SIZES = {"cpu.2u": 5_000_000_000, "cpu.8u": 8_000_000_000}
BOOK = "sku,region,kind,unit,currency,unit_price,valid_from,valid_to\n"
PRICES = (
    f"{BOOK}cpu.2u,,compute,hour,CNY,1.5,,\nevs,,storage,gb_hour,CNY,0.001,,\npool-1,,pool,hour,CNY,9,,\n"
)


@dataclass
class Growing:
    """A lake and the sweeps that it may take, in whatever order."""

    lake: Lake
    sweeps: list[Row]
    rows: dict[str, dict[str, list[Row]]]
    tz: str = "UTC"

    def take(self, *numbers: int) -> None:
        """Commit the sweeps of these numbers, as they were made or late."""
        for number in numbers:
            sweep = self.sweeps[number]
            told = [
                (name, tidy(name, rows).to_reader)
                for name, rows in self.rows.get(sweep["sweep_id"], {}).items()
                if rows
            ]
            told.append(("sweeps", tidy("sweeps", [sweep]).to_reader))
            self.lake.commit(sweep["sweep_id"], sweep["project_id"], told)

    def price(self, *lines: str) -> None:
        """Give another price book."""
        self._book.write_text(BOOK + "\n".join(lines), encoding="utf-8")

    def build(self, full: bool = False) -> Built:
        if not self._book.exists():
            self._book.write_text(PRICES, encoding="utf-8")
        settings = Settings(lake=str(self.lake.path), tz=self.tz, prices=str(self._book))
        return build(settings, self.lake, full=full)

    def marts(self) -> dict[str, pa.Table]:
        """Every mart as readers see it, in order."""
        with views.connect(self.lake) as connection:
            return {name: connection.sql(f"from {name} order by all").to_arrow_table() for name in marts.SEEN}

    def files(self, day: date) -> set[str]:
        """The files that hold a day of the published marts."""
        built = marts.published(self.lake)
        assert built is not None
        found = (marts.relation(self.lake, name, built.versions[name]) for name in marts.PARTITIONED)
        return {file for each in found for file in each.split("'") if f"{marts.DAY}={day}/" in file}

    def copy(self, directory: Path) -> Growing:
        """The same lake in another directory."""
        shutil.copytree(self.lake.path.parent, directory, dirs_exist_ok=True)
        return Growing(Lake(directory / "lake"), self.sweeps, self.rows, self.tz)

    @property
    def _book(self) -> Path:
        return self.lake.path.parent / "prices.csv"


UNREAD = {"what": "a document that may be of any instance"}


def growing(
    directory: Path, sweeps: Sequence[Sweep], seen: Mapping[str, Sequence[Any]], tz: str = "UTC"
) -> Growing:
    """An empty lake, and the sweeps that saw of each instance a document, None where it was not there.

    Each instance has a disk, whose size its flavor says; one pool is listed, and is dedicated later on.
    """
    found = rows_of(
        sweeps,
        {
            name: [UNSEEN if each is UNREAD else each for each in documents]
            for name, documents in seen.items()
        },
    )
    for name, documents in seen.items():
        own = {row["sweep_id"]: row for row in found["instance_history"] if row["instance_id"] == name}
        found["instance_history"] += unread(sweeps, documents, own)
    rows: dict[str, dict[str, list[Row]]] = {}
    for relation, name in TABLES.items():
        for row in found[relation]:
            rows.setdefault(row["sweep_id"], {}).setdefault(name, []).append(row)
            if name == "instances":
                disk = {"volume": 0, "type": "evs", "size_bytes": SIZES[row["flavor"]]}
                rows[row["sweep_id"]].setdefault("storage", []).append(row | disk)
    for number, kind in ((0, "PUBLIC"), (len(sweeps) // 2, "USER_DEFINED")):
        pool = of_sweep(number, sweeps[number]) | {"change": "new", "pool_id": "pool-1", "type": kind}
        if sweeps[number].verdict != "failed":
            rows.setdefault(str(pool["sweep_id"]), {})["pools"] = [pool]
    shutil.copytree(_empty_lake(), directory / "lake")
    return Growing(Lake(directory / "lake"), found["sweeps"], rows, tz)


def unread(sweeps: Sequence[Sweep], documents: Sequence[Any], own: Mapping[str, Row]) -> Iterator[Row]:
    """The rows of an instance while it may be in a document without an id, and when it is seen again."""
    last: Row | None = None
    day, away = -1, False
    for number, (sweep, document) in enumerate(zip(sweeps, documents, strict=True)):
        now = of_sweep(number, sweep)
        if row := own.get(now["sweep_id"]):
            last, day, away = None if row["change"] == "gone" else row, sweep.day, False
        elif last is None or sweep.verdict == "failed" or document is UNSEEN:
            continue
        elif document is not UNREAD and away:
            away, day = False, sweep.day
            yield last | now | {"change": "keyframe"}
        elif document is UNREAD and sweep.verdict == "complete":
            if not away or day < sweep.day:
                yield last | now | {"change": "unread"}
            day, away = sweep.day, True


def tidy(name: str, rows: Sequence[Row]) -> pa.Table:
    """Rows of a tidy table, with null wherever nothing is given."""
    wanted = schema(table(name))
    dated = [{"observed_date": row["observed_at"].date(), "project_id": PROJECT, **row} for row in rows]
    return pa.Table.from_pylist([{key: row.get(key) for key in wanted.names} for row in dated], schema=wanted)


@cache
def _empty_lake() -> Path:
    path = Path(mkdtemp()) / "lake"
    Lake(path).create()
    return path
