"""What is large goes into the store in parts; credentials are lent for a time; a lake there is begun."""

from __future__ import annotations

import json
import os
import sys
from base64 import b64encode
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from boto3.s3.transfer import TransferConfig
from click.testing import CliRunner, Result
from conftest import BUCKET, ObjectStore, client, keys, named
from support import document, environment_for, one_line, swept, views_of

from etl import objects, prices
from etl.bucket import Bucket
from etl.cli import main
from etl.emulator import Clock, Emulator
from etl.errors import ServiceUnavailable
from etl.lake import Lake

SMALLEST = 5 << 20  # of a part, but for the last one


@pytest.fixture
def own(tmp_path: Path) -> Iterator[ObjectStore]:
    """A store that is nobody else's, so that it may misbehave."""
    with named(tmp_path / "cache") as store:
        yield store


@pytest.fixture
def service() -> Iterator[Emulator]:
    """Two documents that no compression makes smaller than two parts."""
    texts = [b64encode(os.urandom(SMALLEST)).decode() for _ in range(2)]
    documents = [document(number, description=text) for number, text in enumerate(texts)]
    with Emulator.of_documents(documents) as emulator:
        yield emulator


def key_of(url: str, name: str) -> str:
    """The key of a file of a lake."""
    return f"{url}/{name}".removeprefix(f"s3://{BUCKET}/")


def uploads() -> list[Any]:
    """The uploads that were begun, and neither completed nor given up."""
    found: list[Any] = client().list_multipart_uploads(Bucket=BUCKET).get("Uploads", [])
    return found


def test_a_large_file_is_put_in_parts_and_comes_back_as_it_was(
    object_store: ObjectStore, url: str, tmp_path: Path
) -> None:
    store, content = Lake(url).store, os.urandom(2 * objects.PART_BYTES + 7)
    draft = store.draft("raw/large")
    draft.write_bytes(content)
    object_store.asked()
    store.put(draft, "raw/large")
    assert object_store.asked() == {"POST": 2, "PUT": 3}
    assert not draft.exists()
    with store.open("raw/large") as file:
        assert file.read() == content
    assert object_store.asked()["GET"] == 3
    assert (keys(url), uploads()) == (["raw/large"], [])


def test_the_pages_of_a_sweep_go_in_parts_and_can_be_replayed(
    object_store: ObjectStore, url: str, service: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(objects, "_PARTS", TransferConfig(SMALLEST, multipart_chunksize=SMALLEST))
    lake = Lake(url)
    assert swept(service, lake).verdict == "complete"
    [pages] = [key for key in keys(url) if key.endswith(".zst")]
    # Its tag tells of how many parts an object was made.
    tag = client().head_object(Bucket=BUCKET, Key=key_of(url, pages))["ETag"]
    assert int(tag.strip('"').rpartition("-")[2]) > 1
    before = views_of(lake, "instances")
    result = CliRunner().invoke(main, ["replay"], env=environment_for(service, url))
    assert (result.exit_code, result.stderr) == (0, "")
    assert views_of(lake, "instances") == before


def test_an_upload_that_breaks_off_shows_nothing_leaves_nothing_and_loses_nothing(
    own: ObjectStore, service: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(objects, "_PARTS", TransferConfig(SMALLEST, multipart_chunksize=SMALLEST))
    lake = Lake(f"s3://{BUCKET}/broken")
    lake.create()
    own.tell("break")
    with pytest.raises(ServiceUnavailable, match="gave out: 500 InternalError to UploadPart"):
        swept(service, lake)
    own.tell("mend")
    assert [key for key in keys(str(lake)) if key.endswith(".zst")] == []
    assert uploads() == []
    landed = [path for path in lake.store.landing("raw").rglob("*.zst") if path.stat().st_size > SMALLEST]
    assert len(landed) == 1
    assert views_of(lake, "sweeps")["sweeps"] == []
    assert swept(service, lake).verdict == "complete"
    assert len([key for key in keys(str(lake)) if key.endswith(".zst")]) == 2
    assert len(views_of(lake, "sweeps")["sweeps"]) == 1


def test_who_may_not_put_pages_is_told_so_and_not_to_try_later(
    own: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake, deliver = Lake(f"s3://{BUCKET}/refused"), Bucket.deliver

    def refused(self: Bucket, name: str) -> None:
        own.tell("refuse")
        try:
            deliver(self, name)
        finally:
            own.tell("serve")

    monkeypatch.setattr(Bucket, "fence", lambda self: None)
    with Emulator.of_documents([document(1)]) as service:
        lake.create()
        with monkeypatch.context() as patch:
            patch.setattr(Bucket, "deliver", refused)
            result = CliRunner().invoke(main, ["sweep"], env=environment_for(service, str(lake)))
        assert result.exit_code == 5
        assert one_line(result).startswith("the object store refuses PutObject of s3://lakes/refused/raw/")
        assert len(lake.store.landed(f"raw/{service.project_id}")) == 1


LENDER = """
import json, pathlib
lent = pathlib.Path({folder!r}) / "lent"
number = len(lent.read_text()) if lent.exists() else 0
lent.write_text("x" * (number + 1))
keys = {{"AccessKeyId": "emulated", "SecretAccessKey": "emulated", "SessionToken": f"session-{{number}}"}}
print(json.dumps({{"Version": 1, "Expiration": {expires!r}, **keys}}))
"""


@pytest.mark.parametrize(("minutes", "is_asked_again"), [(1, True), (600, False)])
def test_credentials_that_are_lent_are_asked_for_again_before_they_expire(
    minutes: int,
    is_asked_again: bool,
    object_store: ObjectStore,
    url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    expires = (datetime.now(UTC) + timedelta(minutes=minutes)).isoformat()
    (tmp_path / "lender.py").write_text(LENDER.format(folder=str(tmp_path), expires=expires))
    config = f"[profile lent]\ncredential_process = {sys.executable} {tmp_path / 'lender.py'}\n"
    (tmp_path / "config").write_text(config)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_PROFILE", "lent")
    lake = Lake(url)
    lake.create()
    tables = [lake.delta("sweeps") for _ in range(2)]
    lent = len((tmp_path / "lent").read_text())
    # What Delta was opened with is not used beyond its time.
    assert (lent > 2, tables[0] is not tables[1]) == (is_asked_again, is_asked_again)
    options = lake.store.options
    assert options is not None
    assert options["AWS_SESSION_TOKEN"] == f"session-{len((tmp_path / 'lent').read_text()) - 1}"


def test_a_lake_there_is_begun_by_init_and_its_prices_are_pulled(
    object_store: ObjectStore, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    terms = {"name": "eight", "billing_flavor": "modelarts.kat1.xlarge", "billing_params": 8}
    now = Clock.at(datetime.now(UTC).isoformat(), speed=1)
    with Emulator.of_documents([document(2, flavor="eight", flavor_details=terms)], now) as service:
        (tmp_path / "token").write_text(service.token)
        place = ("--endpoint", service.endpoint, "--project-id", service.project_id, "--lake", url)
        begun = demeter("init", *place, "--token-file", "token")
        assert (begun.exit_code, begun.stderr) == (0, "it works. next: demeter sweep\n")
        assert demeter("sweep").exit_code == 0
        billing = {"DEMETER_BSS_ENDPOINT": service.endpoint, "DEMETER_REGION": "cn-north-4"}
        signed = environment_for(service, url, DEMETER_PRICES="prices.csv", **billing)
        line = ("prices", "pull", "--since", "2026-10-12", "--format", "json")
        pulled = CliRunner().invoke(main, line, env=signed)
        assert (pulled.exit_code, [row["result"] for row in json.loads(pulled.stdout)]) == (0, ["added"])
    found = prices.read(tmp_path / "prices.csv").to_pylist()
    assert [row["sku"] for row in found] == ["modelarts.kat1.xlarge"]
    assert demeter("sql", "select flavor from instances").exit_code == 0


def demeter(*words: str) -> Result:
    return CliRunner().invoke(main, words)
