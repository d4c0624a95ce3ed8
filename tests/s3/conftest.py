"""An object store for the tests of a session, and lakes in it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import boto3
import pytest

from etl.lake import Lake

BUCKET = "lakes"


class ObjectStore:
    """A store in a process of its own."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(  # noqa: S603
            [sys.executable, str(Path(__file__).with_name("store.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.endpoint = f"http://127.0.0.1:{self._line()}"

    def tell(self, word: str) -> str:
        """Say a word to the store, and return what it says."""
        assert self._process.stdin
        self._process.stdin.write(f"{word}\n")
        self._process.stdin.flush()
        return self._line()

    def asked(self) -> dict[str, int]:
        """How often each kind of request came since this was last asked."""
        found: dict[str, int] = json.loads(self.tell("asked"))
        return found

    def end(self) -> None:
        """End the process, and all that it keeps."""
        self._process.kill()
        self._process.wait()

    def _line(self) -> str:
        assert self._process.stdout
        line = self._process.stdout.readline().strip()
        assert line, "the store ended"
        return line


@pytest.fixture(scope="session")
def object_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectStore]:
    """The store, which is the one that the environment names."""
    with named(tmp_path_factory.mktemp("cache")) as store:
        yield store


@contextmanager
def named(cache: Path) -> Iterator[ObjectStore]:
    """A store with a bucket, which the environment names meanwhile."""
    store = ObjectStore()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment(store, cache).items():
            patch.setenv(name, value)
        client().create_bucket(Bucket=BUCKET)
        yield store
    store.end()


def environment(store: ObjectStore, cache: Path) -> dict[str, str]:
    """What tells demeter of a store, and of nothing that the user of this machine has."""
    return {
        "AWS_ENDPOINT_URL": store.endpoint,
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "emulated",
        "AWS_SECRET_ACCESS_KEY": "emulated",
        "AWS_CONFIG_FILE": str(cache / "none"),
        "AWS_SHARED_CREDENTIALS_FILE": str(cache / "none"),
        "AWS_EC2_METADATA_DISABLED": "true",
        "XDG_CACHE_HOME": str(cache),
    }


def client() -> Any:
    """The store as others than demeter see it."""
    return boto3.client("s3", region_name="us-east-1")


def keys(url: str) -> list[str]:
    """All objects of a lake, by what follows its prefix."""
    bucket, _, prefix = url.removeprefix("s3://").partition("/")
    pages = client().get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=f"{prefix}/")
    return [each["Key"].removeprefix(f"{prefix}/") for page in pages for each in page.get("Contents", ())]


NUMBERS = count()


@pytest.fixture(scope="session")
def empty(object_store: ObjectStore) -> str:
    """A lake with all its tables, and nothing in them."""
    url = f"s3://{BUCKET}/empty"
    Lake(url).create()
    return url


def copied(url: str, target: str) -> str:
    """A copy of a lake, which the store makes."""
    old, new = (each.removeprefix(f"s3://{BUCKET}/") for each in (url, target))
    store = client()
    for key in keys(url):
        place = {"Bucket": BUCKET, "Key": f"{old}/{key}"}
        store.copy_object(Bucket=BUCKET, Key=f"{new}/{key}", CopySource=place)
    return target


@pytest.fixture
def url(object_store: ObjectStore) -> str:
    """Where no lake is yet."""
    return f"s3://{BUCKET}/lakes/{next(NUMBERS)}"


@pytest.fixture
def lake_url(empty: str, url: str) -> str:
    """Where a lake is whose tables are empty."""
    return copied(empty, url)
