"""The price book and the exchange rates that a user gives, and the versions of them that a lake keeps."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from etl import sheets
from etl.errors import UsageError
from etl.places import Place
from etl.sheets import Sheet, Value, Values, shown

# What each kind of price is asked by.
UNITS = {"compute": "hour", "storage": "gb_hour", "pool": "hour"}
# The largest that costs have room for beside their decimals.
PRICES_BELOW = 100_000_000

PRICES = pa.schema(
    [
        ("price_id", pa.string()),
        ("sku", pa.string()),
        ("region", pa.string()),
        ("kind", pa.string()),
        ("unit", pa.string()),
        ("currency", pa.string()),
        ("unit_price", pa.decimal128(18, 8)),
        ("valid_from", pa.date32()),
        ("valid_to", pa.date32()),
    ]
)
RATES = pa.schema(
    [
        ("from_currency", pa.string()),
        ("to_currency", pa.string()),
        ("rate", pa.decimal128(18, 10)),
        ("valid_from", pa.date32()),
        ("valid_to", pa.date32()),
    ]
)


def read(path: Path) -> pa.Table:
    """The price book in a CSV or Parquet file; UsageError names all that is wrong with it."""
    rows = sheets.read(path, PRICE_BOOK)
    return _table([{"price_id": _price_id(row), **row} for row in rows], PRICES)


def read_rates(path: Path) -> pa.Table:
    """The exchange rates in a CSV or Parquet file; UsageError names all that is wrong with them."""
    return _table(sheets.read(path, EXCHANGE_RATES), RATES)


def empty() -> pa.Table:
    """A price book without prices."""
    return PRICES.empty_table()


def empty_rates() -> pa.Table:
    """Exchange rates between no currencies."""
    return RATES.empty_table()


def version(table: pa.Table) -> str:
    """A text that two tables share only when they have the same rows, in whatever order."""
    rows = sorted([_canonical(value) or "" for value in row.values()] for row in table.to_pylist())
    return _hash([table.column_names, rows], 16)


def store(lake: Place, table: pa.Table) -> str:
    """Keep a price book in the lake, make it the current one, and return its version."""
    return _store(lake / "prices", table)


def store_rates(lake: Place, table: pa.Table) -> str:
    """Keep exchange rates in the lake, make them the current ones, and return their version."""
    return _store(lake / "exchange_rates", table)


def load(lake: Place) -> pa.Table:
    """The current price book of a lake; one without prices where none was stored."""
    return _load(lake / "prices", PRICES)


def load_rates(lake: Place) -> pa.Table:
    """The current exchange rates of a lake; none where none were stored."""
    return _load(lake / "exchange_rates", RATES)


def _price_cell(text: str) -> Decimal:
    return sheets.decimal_cell(text, decimals=8, below=PRICES_BELOW)


def _rate_cell(text: str) -> Decimal:
    rate = sheets.decimal_cell(text, decimals=10, below=PRICES_BELOW)
    if not rate:
        raise ValueError(f"{shown(text)} makes all costs 0: an exchange rate is above 0")
    return rate


def _kind_cell(text: str) -> str:
    if text not in UNITS:
        raise ValueError(f"{shown(text)} is unknown: it is one of {', '.join(UNITS)}")
    return text


def _unit_cell(text: str) -> str:
    if text not in UNITS.values():
        raise ValueError(f"{shown(text)} is unknown: it is hour for compute and pool, gb_hour for storage")
    return text


def _wrong_unit(row: Values) -> str | None:
    kind, unit = str(row["kind"]), row["unit"]
    return None if UNITS[kind] == unit else f"unit {unit} does not go with {kind}: it is {UNITS[kind]}"


def _same_currency(row: Values) -> str | None:
    same = row["from_currency"] == row["to_currency"]
    return f"converts {row['to_currency']} to itself: take the row out" if same else None


PRICE_BOOK = Sheet(
    name="price book",
    parsers={
        "sku": sheets.text_cell,
        "region": sheets.optional_cell,
        "kind": _kind_cell,
        "unit": _unit_cell,
        "currency": sheets.currency_cell,
        "unit_price": _price_cell,
        "valid_from": sheets.date_cell,
        "valid_to": sheets.date_cell,
    },
    key=("sku", "region", "kind", "currency"),
    flaw=_wrong_unit,
    remarks=("source",),
)
EXCHANGE_RATES = Sheet(
    name="list of exchange rates",
    parsers={
        "from_currency": sheets.currency_cell,
        "to_currency": sheets.currency_cell,
        "rate": _rate_cell,
        "valid_from": sheets.date_cell,
        "valid_to": sheets.date_cell,
    },
    key=("from_currency", "to_currency"),
    flaw=_same_currency,
)


def lost(lake: Place, book: pa.Table) -> list[str]:
    """The SKUs that the price book which a lake keeps has a price of, and this one has none of."""
    try:
        known = load(lake)
    except UsageError:  # It is damaged, and this one takes its place.
        return []
    return sorted(set(known["sku"].to_pylist()) - set(book["sku"].to_pylist()))


def _price_id(row: Values) -> str:
    """An id that a row keeps for as long as its key and its dates stay, whatever its price."""
    names = (*PRICE_BOOK.key, "valid_from", "valid_to")
    return _hash([_canonical(row[name]) for name in names], 12)


def _table(rows: Sequence[Values], schema: pa.Schema) -> pa.Table:
    """The rows in an order of their own, so that the order of the file does not matter."""
    names = [name for name in schema.names if name != "price_id"]
    ordered = sorted(rows, key=lambda row: [_canonical(row[name]) or "" for name in names])
    return pa.Table.from_pylist([dict(row) for row in ordered], schema=schema)


def _canonical(value: Value) -> str | None:
    if isinstance(value, Decimal):
        plain = format(value, "f")
        return plain.rstrip("0").rstrip(".") if "." in plain else plain
    return value.isoformat() if isinstance(value, date) else value


def _hash(value: object, digits: int) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()[:digits]


def _store(folder: Place, table: pa.Table) -> str:
    name = version(table)
    try:
        with (folder / f"{name}.parquet").drafted() as path:
            pq.write_table(table, path, compression="zstd")
        (folder / "current.json").replace(json.dumps({"version": name}) + "\n")
    except OSError as error:
        raise UsageError(f"{folder} cannot be written: {error.strerror}: mend its permissions") from None
    return name


def _load(folder: Place, schema: pa.Schema) -> pa.Table:
    current = folder / "current.json"
    try:
        name = current.json()["version"]
    except FileNotFoundError:
        return schema.empty_table()
    except (OSError, ValueError, KeyError, TypeError):
        name = None
    try:
        with (folder / f"{name}.parquet").open() as file:
            table = pq.read_table(file).cast(schema)
        if version(table) == name:
            return table
    except (OSError, ValueError, KeyError, TypeError, pa.ArrowException):
        pass
    raise UsageError(f"{current} leads to no table as it was stored: give the file that it came from again")
