"""A price book as the file that a user keeps: new prices go into it, what the user wrote stays as it is."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path

from etl import prices
from etl.directory import to_replace
from etl.errors import UsageError
from etl.inquiry import Product, Quote

SOURCE = "source"
PULLED = "on-demand inquiry"  # what the source of a pulled price begins with
COLUMNS = (*prices.PRICE_BOOK.parsers, SOURCE)
DECIMALS = Decimal("0.00000001")

Cells = dict[str, str]


@dataclass(frozen=True)
class Change:
    """What becomes of a price: added, changed, the same, kept as it was, or unpriced for want of one."""

    product: Product
    region: str
    what: str
    before: str = ""
    after: str = ""
    currency: str = ""
    note: str = ""

    def row(self) -> dict[str, str]:
        """What a table shows of it."""
        shown = {"sku": self.product.sku, "region": self.region, "kind": self.product.kind}
        known = {"before": self.before, "after": self.after, "currency": self.currency, "note": self.note}
        return {**shown, "result": self.what, **known}


class Book:
    """The lines of a price book: rows by their columns, and as they are what is a comment, or blank."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._header = list(COLUMNS)
        self._lines: list[str | Cells] = []
        self._at = 0  # Before which of the lines the header stands.
        if path.exists():
            prices.read(path)  # Raises UsageError for what is wrong with it.
            self._header, self._lines, self._at = _parsed(path)

    def put(
        self, product: Product, region: str, quote: Quote, day: date, source: str, *, overwrite: bool
    ) -> Change:
        """Take in what was answered for a product from a day on, and say what became of it.

        What a user wrote for that day stays, unless it is to be overwritten.
        """
        current = [row for row in self._rows(product) if _is_valid(row, day)]
        own = [row for row in current if not row.get(SOURCE, "").startswith(PULLED)]
        told = Change(product, region, "kept", before=_price(current), currency=_currency(current))
        if quote.price is None:
            what = "kept" if [row for row in current if row["region"] in ("", region)] else "unpriced"
            return replace(told, what=what, note=quote.reason)
        price, theirs = _rounded(quote.price), [row for row in own if row["region"] in ("", region)]
        if theirs and not overwrite:
            note = f"yours; the service says {price} {quote.currency}"
            return replace(told, before=_price(theirs), currency=_currency(theirs), note=note)
        replaced = [row for row in current if row["region"] == region]
        told = replace(told, before=_price(replaced), after=price, currency=quote.currency)
        if [_key(row) for row in replaced] == [(Decimal(price), quote.currency)]:
            return replace(told, what="same")
        for row in replaced:
            self._end(row, day)
        self._lines.append(
            {
                "sku": product.sku,
                "region": region,
                "kind": product.kind,
                "unit": prices.UNITS[product.kind],
                "currency": quote.currency,
                "unit_price": price,
                "valid_from": day.isoformat(),
                "valid_to": self._next_start(product, region, day),
                SOURCE: source,
            }
        )
        return replace(told, what="changed" if replaced else "added")

    def write(self) -> None:
        """Write the book in the place of the old one, if it can be read."""
        try:
            self._put(to_replace(self.path))
        except OSError as error:
            raise UsageError(
                f"the price book {self.path} cannot be written: {error.strerror}; name another with -o"
            ) from None

    def _put(self, path: Path) -> None:
        place = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            place.write_text(self._text(), encoding="utf-8")
            prices.read(place)
            place.replace(path)
        finally:
            place.unlink(missing_ok=True)

    def _rows(self, product: Product) -> Iterator[Cells]:
        for line in self._lines:
            if not isinstance(line, str) and (line["sku"], line["kind"]) == (product.sku, product.kind):
                yield line

    def _next_start(self, product: Product, region: str, day: date) -> str:
        """The day on which a price that is known beforehand takes over; empty where there is none."""
        starts = (row["valid_from"] for row in self._rows(product) if row["region"] == region)
        return min((start for start in starts if start > day.isoformat()), default="")

    def _end(self, row: Cells, day: date) -> None:
        """End a row on a day; one that begins on it, and so was never valid, is taken out."""
        if row["valid_from"] == day.isoformat():
            self._lines.remove(row)
        else:
            row["valid_to"] = day.isoformat()

    def _text(self) -> str:
        names = [*self._header, *([] if SOURCE in self._header else [SOURCE])]
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        lines: list[str | Cells] = [*self._lines]
        lines.insert(self._at, dict(zip(names, names, strict=True)))
        for line in lines:
            if isinstance(line, str):
                text.write(line)
            else:
                writer.writerow([line.get(name, "") for name in names])
        return text.getvalue()


def _parsed(path: Path) -> tuple[list[str], list[str | Cells], int]:
    """The header, the other lines, and before which of them it stands, of a book that can be read."""
    content = path.read_bytes()
    if content.startswith(b"PAR1"):
        raise UsageError(f"the price book {path} is Parquet: name a CSV file with -o")
    header: list[str] = []
    at = 0
    found: list[str | Cells] = []
    for line in io.StringIO(content.decode("utf-8-sig"), newline=None):
        cells = [cell.strip() for row in csv.reader([line]) for cell in row]
        if line.lstrip().startswith("#") or not any(cells):
            found.append(line if line.endswith("\n") else f"{line}\n")
        elif not header:
            header, at = [name.lower() for name in cells], len(found)
        else:
            found.append(dict(zip(header, cells, strict=False)))
    return header, found, at


def _is_valid(row: Mapping[str, str], day: date) -> bool:
    since, until = row["valid_from"], row["valid_to"]
    return (not since or since <= day.isoformat()) and (not until or until > day.isoformat())


def _key(row: Mapping[str, str]) -> tuple[Decimal, str]:
    return Decimal(row["unit_price"]), row["currency"]


def _price(rows: list[Cells]) -> str:
    return rows[0]["unit_price"] if rows else ""


def _currency(rows: list[Cells]) -> str:
    return rows[0]["currency"] if rows else ""


def _rounded(price: Decimal) -> str:
    """A price with as many decimals as a book has room for."""
    text = format(price.quantize(DECIMALS, ROUND_HALF_UP), "f")
    return text.rstrip("0").rstrip(".")
