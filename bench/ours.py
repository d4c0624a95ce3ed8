"""One run of demeter that tells how long it took since the imports: `python -m bench.ours sweep`."""

from __future__ import annotations

import json
import sys
import time

# What a run imports on its way is start-up, and told apart from the work.
import deltalake
import duckdb
import pyarrow.parquet
import requests

import etl.build
import etl.reader
import etl.sweep
from etl.cli import main as demeter

IMPORTED = (deltalake, duckdb, pyarrow.parquet, requests, etl.build, etl.reader, etl.sweep)


def main() -> None:
    """Run the command, and exit as it does."""
    began = time.perf_counter()
    status = demeter(sys.argv[1:], standalone_mode=False)
    print(json.dumps({"seconds": time.perf_counter() - began}))
    sys.exit(status)


if __name__ == "__main__":
    main()
