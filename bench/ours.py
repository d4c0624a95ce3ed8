"""One run of demeter that tells how long it took since the imports: `python -m bench.ours sweep`."""

from __future__ import annotations

import json
import sys
import time
from importlib import import_module

from etl.cli import main as demeter
from etl.lean import leave_out

# What a run imports on its way is start-up, and told apart from the work.
IMPORTED = (
    *("deltalake", "duckdb", "pyarrow.compute", "pyarrow.parquet", "requests"),
    *("etl.build", "etl.reader", "etl.sweep"),
)


def main() -> None:
    """Run the command, and exit as it does."""
    leave_out()
    for name in IMPORTED:
        import_module(name)
    began = time.perf_counter()
    status = demeter(sys.argv[1:], standalone_mode=False)
    print(json.dumps({"seconds": time.perf_counter() - began}))
    sys.exit(status)


if __name__ == "__main__":
    main()
