"""Opens what keeps a lake, by its address: a directory, or a bucket of an object store."""

from __future__ import annotations

from pathlib import Path

from etl.directory import Directory
from etl.errors import UsageError
from etl.places import Store

SCHEME = "s3://"
IN_ITS_WAY = "#?%[]"  # DuckDB and Delta read these otherwise


def of(address: str | Path) -> Store:
    """What keeps the lake of that address; UsageError where it is none."""
    text = str(address)
    if "://" in text:
        return _bucket(text)
    path = Path(address).absolute()
    if set(IN_ITS_WAY) & set(str(path)):
        raise UsageError(f"the lake {address} has one of # ? % [ ] in its path: give another directory")
    return Directory(path)


def _bucket(address: str) -> Store:
    """The bucket of a URL, which wants an extra."""
    if not address.startswith(SCHEME):
        raise UsageError(f"the lake {address} is a URL: give a directory, or s3://BUCKET/PREFIX")
    try:
        from etl.bucket import Bucket
    except ModuleNotFoundError:
        raise UsageError("a lake in an object store needs an extra: pip install 'demeter-etl[s3]'") from None
    return Bucket(address)
