"""The listing as one table by `pandas.json_normalize`: `python -m bench.rivals.pandas_parquet FOLDER`."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import orjson
import pandas
import pyarrow.parquet

from bench.floor import instances, tell

IMPORTED = (pyarrow.parquet,)


def main() -> None:
    """List everything once into a Parquet file."""
    began = time.perf_counter()
    frame = pandas.json_normalize([instance for page in instances() for instance in page])
    for name in frame.select_dtypes("object").columns:
        # Lists, and numbers beside texts: Parquet takes neither as they come.
        frame[name] = frame[name].map(as_json, na_action="ignore")
    frame.to_parquet(Path(sys.argv[1]) / "instances.parquet", compression="zstd")
    tell(began, len(frame))


def as_json(value: Any) -> str:
    """A value as the text of its JSON."""
    return orjson.dumps(value).decode()


if __name__ == "__main__":
    main()
