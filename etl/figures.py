"""Figures as people read them: to two places, and one long row on its side."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

PLACES = 2
# More columns than this in the only row of an answer are read more easily below each other.
WIDEST = 8


def readable(answer: pa.Table) -> pa.Table:
    """An answer with its decimals rounded; a single row of many columns as its rows."""
    answer = rounded(answer)
    return _on_its_side(answer) if answer.num_rows == 1 and answer.num_columns > WIDEST else answer


def rounded(answer: pa.Table) -> pa.Table:
    """An answer with its decimals to the places that people read, half to even."""
    for number, field in enumerate(answer.schema):
        if pa.types.is_decimal(field.type):
            answer = answer.set_column(number, field.name, _rounded(answer.column(number), field.name))
    return answer


def _rounded(column: pa.ChunkedArray, name: str) -> pa.ChunkedArray:
    """A column of decimals to two places; of prices to as many as they have."""
    places = min(PLACES, column.type.scale)
    if name.startswith("unit_price"):
        places = max([places, *(_places(value) for value in column.to_pylist() if value is not None)])
    return pc.round(column, places, "half_to_even").cast(pa.decimal128(38, places))


def _places(value: Decimal) -> int:
    """The decimal places of a number without the zeros at its end."""
    exponent = value.normalize().as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0


def _on_its_side(answer: pa.Table) -> pa.Table:
    """A row for each measure of the only row, beside it the bounds that go with it."""
    [row] = answer.to_pylist()
    bounds = {f"{name}_{end}" for name in row for end in ("min", "max")} & set(row)
    shown = [
        {
            "measure": name,
            "at least": _text(row.get(f"{name}_min")),
            "value": _text(value),
            "at most": _text(row.get(f"{name}_max")),
        }
        for name, value in row.items()
        if name not in bounds
    ]
    return pa.Table.from_pylist(shown, schema=pa.schema([(name, pa.string()) for name in shown[0]]))


def _text(value: Any) -> str | None:
    return format(value, "f") if isinstance(value, Decimal) else None if value is None else str(value)
