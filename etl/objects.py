"""The objects below a prefix of a bucket: got, put and listed by requests of S3, whoever answers them."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from functools import cached_property
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

import boto3
from boto3.exceptions import Boto3Error, S3UploadFailedError
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    HTTPClientError,
    NoCredentialsError,
    PartialCredentialsError,
    ProfileNotFound,
)

from etl.errors import DemeterError, Refused, ServiceUnavailable, UsageError
from etl.places import Found

# So many tries of a request, and so long for an answer, that a lease does not run out meanwhile.
TRIES, ANSWER_SECONDS, CONNECT_SECONDS = 3, 10, 5
PART_BYTES = 16_000_000  # larger files are put in parts
CONFLICTS = (409, 412)  # another writer came first, or is at it

_CONFIG = Config(
    connect_timeout=CONNECT_SECONDS,
    read_timeout=ANSWER_SECONDS,
    retries={"mode": "standard", "total_max_attempts": TRIES},
    signature_version="s3v4",
    # Checksums that come after the content are known to few stores but that of AWS.
    request_checksum_calculation="when_required",
    response_checksum_validation="when_required",
)
_DELTA = {
    "aws_conditional_put": "etag",
    "max_retries": str(TRIES),
    "retry_timeout": "20s",
    "connect_timeout": f"{CONNECT_SECONDS}s",
    "timeout": "60s",
}


@dataclass(frozen=True)
class Stamped:
    """What is in an object, its tag, and how long ago it was written, all by the clock of the store."""

    content: bytes
    tag: str
    age_seconds: float


class Objects:
    """The objects below a prefix, each named by what follows it."""

    def __init__(self, address: str) -> None:
        parts = urlsplit(address)
        self.bucket, self.prefix = parts.netloc, parts.path.strip("/")
        self.address = f"s3://{self.bucket}/{self.prefix}".rstrip("/")
        if not self.bucket or set("?#%[]") & set(address) or "//" in parts.path:
            raise UsageError(f"the lake {address} names no bucket and prefix: write s3://BUCKET/PREFIX")

    @cached_property
    def _client(self) -> Any:
        with self._told():
            return self._session.client("s3", config=_CONFIG)

    @cached_property
    def _session(self) -> Any:
        with self._told():
            # Others read this variable, and botocore does not.
            return boto3.session.Session(region_name=os.environ.get("AWS_REGION") or None)

    @cached_property
    def _endpoint(self) -> dict[str, str]:
        """Where Delta finds the bucket: where botocore would, with its name in the host or in the path."""
        signed = urlsplit(self._client.generate_presigned_url("head_bucket", Params={"Bucket": self.bucket}))
        in_host = signed.netloc.startswith(f"{self.bucket}.")
        return {
            "AWS_ENDPOINT_URL": f"{signed.scheme}://{signed.netloc}",
            "AWS_VIRTUAL_HOSTED_STYLE_REQUEST": str(in_host).lower(),
            "AWS_ALLOW_HTTP": str(signed.scheme == "http").lower(),
            "AWS_REGION": self._client.meta.region_name,
        }

    @property
    def options(self) -> dict[str, str]:
        """What Delta is given to read and write here, with the credentials of now."""
        with self._told():
            known = self._session.get_credentials()
            if known is None:
                raise NoCredentialsError
            held = known.get_frozen_credentials()
            token = {"AWS_SESSION_TOKEN": held.token} if held.token else {}
            keys = {"AWS_ACCESS_KEY_ID": held.access_key, "AWS_SECRET_ACCESS_KEY": held.secret_key}
            return {**keys, **token, **self._endpoint, **_DELTA}

    def get(self, name: str, first_bytes: int | None = None) -> tuple[bytes, int]:
        """An object, or its first bytes alone, and how many it has; FileNotFoundError if there is none."""
        wanted = {} if first_bytes is None else {"Range": f"bytes=0-{first_bytes - 1}"}
        content, answer = self._content(name, **wanted)
        return content, int(answer.get("ContentRange", f"/{len(content)}").rpartition("/")[2])

    def part(self, name: str, start: int, stop: int) -> bytes:
        """The bytes of an object from `start` on, before `stop`."""
        return self._content(name, Range=f"bytes={start}-{stop - 1}")[0]

    def stamped(self, name: str) -> Stamped:
        """An object with its tag and its age; FileNotFoundError if it is not there."""
        content, answer = self._content(name)
        now = parsedate_to_datetime(answer["ResponseMetadata"]["HTTPHeaders"]["date"])
        age = (now - answer["LastModified"]).total_seconds()
        return Stamped(content, answer["ETag"], age)

    def _content(self, name: str, **wanted: str) -> tuple[bytes, dict[str, Any]]:
        """What is got of an object, and the answer that brought it; again where the answer broke off."""
        for left in reversed(range(TRIES)):
            with self._told(name):
                answer = self._client.get_object(**self._at(name), **wanted)
                try:
                    return bytes(answer["Body"].read()), answer
                except HTTPClientError:
                    if not left:
                        raise
        raise AssertionError

    def copy(self, name: str, file: IO[bytes]) -> None:
        """Get an object into a file, in parts if it is large; FileNotFoundError if it is not there."""
        with self._told(name):
            self._client.download_fileobj(self.bucket, self._key(name), file, Config=_PARTS)

    def head(self, name: str) -> tuple[int, str]:
        """The bytes and the tag of an object; FileNotFoundError if it is not there."""
        with self._told(name):
            answer = self._client.head_object(**self._at(name))
            return int(answer["ContentLength"]), str(answer["ETag"])

    def put(self, name: str, content: bytes) -> None:
        """Put an object in the place of what may be there."""
        with self._told(name):
            self._client.put_object(**self._at(name), Body=content)

    def put_if(self, name: str, tag: str, content: bytes) -> str | None:
        """Put an object where the one that is there has the tag, or none is there for an empty one.

        Returns the new tag, and None where that is not so. An answer that was lost makes the second try
        fail: it is the first that came, then.
        """
        fits = {"IfMatch": tag} if tag else {"IfNoneMatch": "*"}
        try:
            with self._told(name):
                return str(self._client.put_object(**self._at(name), Body=content, **fits)["ETag"])
        except FileNotFoundError:
            return None
        except _Conflict:
            pass
        try:
            found = self.stamped(name)
        except FileNotFoundError:
            return None
        return found.tag if found.content == content else None

    def upload(self, file: Path, name: str) -> None:
        """Put a file, in parts if it is large."""
        with self._told(name):
            try:
                self._client.upload_file(str(file), self.bucket, self._key(name), Config=_PARTS)
            except S3UploadFailedError as error:
                # It was raised while that was handled which tells what the store said.
                raise error.__context__ or error from None

    def delete(self, name: str) -> None:
        """Delete an object, if it is there."""
        with self._told(name):
            self._client.delete_object(**self._at(name))

    def list(self, below: str, deep: bool = True, after: str = "") -> Iterator[Found]:
        """The objects of a folder, or also of those below it, by name."""
        for page in self._pages(below, deep, after):
            for each in page.get("Contents", ()):
                name = each["Key"].removeprefix(self._key(""))
                yield Found(name, each["Size"], each["LastModified"])

    def folders(self, below: str) -> Iterator[str]:
        """What the folders right below one are called."""
        for page in self._pages(below, deep=False):
            for each in page.get("CommonPrefixes", ()):
                yield each["Prefix"].rstrip("/").rpartition("/")[2]

    def _pages(self, below: str, deep: bool, after: str = "") -> Iterator[dict[str, Any]]:
        where = {"Bucket": self.bucket, "Prefix": self._key(f"{below}/" if below else "")}
        where |= {} if deep else {"Delimiter": "/"}
        where |= {"StartAfter": self._key(after)} if after else {}
        with self._told(below):
            yield from self._client.get_paginator("list_objects_v2").paginate(**where)

    def _key(self, name: str) -> str:
        return f"{self.prefix}/{name}" if self.prefix else name

    def _at(self, name: str) -> dict[str, str]:
        return {"Bucket": self.bucket, "Key": self._key(name)}

    @contextmanager
    def _told(self, name: str = "") -> Iterator[None]:
        """Raise the errors of the library by what the reader does next; a missing object is not found."""
        try:
            yield
        except (NoCredentialsError, PartialCredentialsError, ProfileNotFound) as error:
            raise UsageError(
                f"the lake {self.address} wants credentials ({_first_line(error)}): set AWS_ACCESS_KEY_ID "
                "and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"
            ) from None
        except ClientError as error:
            raise self._meaning(error, name) from error
        except (BotoCoreError, Boto3Error, OSError, ValueError) as error:
            if isinstance(error, OSError) and error.errno:
                raise
            raise ServiceUnavailable(
                f"the object store of {self.address} gave out: {_first_line(error)}; run this again later"
            ) from error

    def _meaning(self, error: ClientError, name: str) -> Exception:
        """What an answer that is an error means."""
        code, status = error.response["Error"].get("Code", ""), _status(error)
        if code == "NoSuchBucket":
            return UsageError(
                f"there is no bucket {self.bucket}: create it, or set DEMETER_LAKE or the endpoint"
            )
        if status == 404:
            return FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), f"{self.address}/{name}")
        if status in CONFLICTS:
            return _Conflict(f"{self.address}/{name} was written by another run: run this again")
        if status in (401, 403):
            return Refused(
                f"the object store refuses {error.operation_name} of {self.address}/{name} ({code}): mend "
                "the credentials, or grant that"
            )
        return ServiceUnavailable(
            f"the object store of {self.address} gave out: {status} {code} to {error.operation_name}; run "
            "this again later"
        )


class _Conflict(DemeterError):
    """The object that is there is not the one that was to be replaced."""


_PARTS = TransferConfig(multipart_threshold=PART_BYTES, multipart_chunksize=PART_BYTES, max_concurrency=4)


def _status(error: ClientError) -> int:
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]
