"""The floor: all pages of the listing, downloaded with requests and read with orjson, and nothing else."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from typing import Any

import orjson
import requests

LIMIT = 500
ASKED = {"de_type": "Notebook", "show_self": "false", "sortby": "creation_timestamp", "order": "asc"}


def instances() -> Iterator[list[dict[str, Any]]]:
    """The instances of page after page."""
    url = f"{os.environ['DEMETER_ENDPOINT']}/v1/{os.environ['DEMETER_PROJECT_ID']}/demanager/instances"
    with requests.Session() as session:
        session.headers["X-Auth-Token"] = os.environ["DEMETER_TOKEN"]
        offset, total = 0, 1
        while offset < total:
            window = {"offset": str(offset), "limit": str(LIMIT)}
            page = orjson.loads(session.get(url, params=ASKED | window, timeout=60).content)
            total, offset = page["total_count"], offset + LIMIT
            yield page["instances"]


def tell(began: float, count: int) -> None:
    """Tell how many instances came, and how long it took since everything was imported."""
    print(json.dumps({"seconds": time.perf_counter() - began, "instances": count}))


def main() -> None:
    """List everything once."""
    began = time.perf_counter()
    tell(began, sum(map(len, instances())))


if __name__ == "__main__":
    main()
