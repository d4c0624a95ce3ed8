"""No credential reaches a disk, a log or a terminal, whatever it comes in."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import Result
from support import Row, document, environment_for, run

from etl.emulator import Clock, Emulator, Fleet, FleetSettings
from etl.emulator.answers import Answer
from etl.lake import Lake

PEM = "-----BEGIN RSA PRIVATE KEY-----\nMIIE{}\n{}\n-----END RSA PRIVATE KEY-----"


class Planted:
    """Makes secrets that no other text has in it, and remembers them."""

    def __init__(self) -> None:
        self.all: dict[str, str] = {}

    def __call__(self, where: str) -> str:
        self.all[where] = f"Zq7{len(self.all):03d}x{where.replace(' ', '').title()[:12]}9Kd"
        return self.all[where]


SECRET = Planted()
# What is near a secret and is none, so that a scan which finds nothing at all is found out.
PUBLIC = {
    name: f"public-{name}" for name in ("branch", "label", "note", "field", "after", "nameless", "page")
}

DOCUMENTS: list[Row | bytes] = [
    document(
        1,
        repository={
            "id": "repo-1",
            "branch": PUBLIC["branch"],
            "user_name": "li",
            "connection_info": {
                "protocol": "https",
                "url": f"https://li:{SECRET('userinfo')}@git.example.com/x?access_token={SECRET('query')}&a=b",
                "credential": {
                    "ssh_private_key": PEM.format(SECRET("pem first"), SECRET("pem second")),
                    "access_token": SECRET("repository token"),
                },
            },
        },
    ),
    document(
        2,
        spec={
            "credential": {"ak": SECRET("ak"), "sk": SECRET("sk")},
            "annotations": {"url": f"https://hub.example.com/lab?token={SECRET('hub token')}"},
            "extend_params": {"API-Key": SECRET("api key")},
            "failed_reasons": {
                "message": f"cannot mount: password={SECRET('message')}",
                "detail": {"secret": SECRET("detail")},
            },
            "storage": {"location": {"path": f"https://u:{SECRET('path')}@obs.example.com/"}},
        },
        profile={"id": "p", "labels": {"db_password": SECRET("label"), "team": PUBLIC["label"]}},
    ),
    document(
        3,
        name=f"Authorization: Bearer {SECRET('bearer')}",
        description=json.dumps({"password": SECRET("json in text"), "note": PUBLIC["note"]}),
    ),
    document(
        4,
        config={
            "private_key": SECRET("unknown field"),
            "list": [{"clientSecret": SECRET("in a list")}, {"plain": PUBLIC["field"]}],
            "session_token": {"a": {"b": [SECRET("deep"), 12345678987654]}},
        },
        token=SECRET("top level"),
    ),
    document(5, flavor_details={"password": SECRET("quarantined"), "promo_type": "Free"}),
    document(6, profile={"id": {"passwd": SECRET("wrong type")}}),
    {"name": PUBLIC["nameless"], "user_token": SECRET("no id")},
    json.dumps(document(7, name="NAME"))
    .encode()
    .replace(
        b'"NAME"',
        b'"\xff' + PUBLIC["after"].encode() + b'", "pass\\u0077ord": "%s"' % SECRET("escape").encode(),
    ),
    json.dumps(document(8)).encode()[:-1] + b',"token":"a","token":"%s"}' % SECRET("key twice").encode(),
]


def texts_of(file: Path) -> bytes:
    """All that a file says: its bytes, and what is compressed or encoded in them."""
    raw = file.read_bytes()
    if file.suffix == ".zst":
        with pa.input_stream(str(file), compression="zstd") as stream:
            return raw + bytes(stream.read())
    if file.suffix == ".parquet":
        return raw + repr(pq.ParquetFile(file).read().to_pylist()).encode()
    return raw


def in_files(directory: Path, secrets: dict[str, str]) -> list[tuple[str, str]]:
    """Which of the secrets are found in which file."""
    files = [file for file in directory.rglob("*") if file.is_file()]
    contents = {file: texts_of(file) for file in files}
    return [
        (str(file.relative_to(directory)), where)
        for file, text in contents.items()
        for where, secret in secrets.items()
        if secret.encode() in text
    ]


def in_output(result: Result, secrets: dict[str, str]) -> list[str]:
    said = result.output + result.stderr + repr(result.exception)
    return [where for where, secret in secrets.items() if secret in said]


@pytest.fixture(scope="module")
def planted_lake(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Result]]:
    """A lake after sweeps of the documents, by a user and password, and what the command said."""
    lake = tmp_path_factory.mktemp("secrets") / "lake"
    with Emulator.of_documents(DOCUMENTS, password=SECRET("own password")) as service:
        SECRET.all["own token"] = service.token[:24]
        by_password = {
            "DEMETER_TOKEN": "",
            "DEMETER_USER": service.user,
            "DEMETER_PASSWORD": service.password,
            "DEMETER_DOMAIN": service.domain,
            "DEMETER_IAM_ENDPOINT": service.endpoint,
        }
        results = [
            run(environment_for(service, lake, **by_password), "-v"),
            run(environment_for(service, lake), "-v", "--log-format", "json"),
        ]
        SECRET.all |= {f"issued token {n}": token[:24] for n, token in enumerate(issued(service))}
    assert [result.exit_code for result in results] == [0, 0], results[0].output
    return lake, results


def issued(service: Emulator) -> set[str]:
    """The tokens that the listing was asked for with."""
    return {received.headers.get("x-auth-token", "") for received in service.requests} - {""}


def test_no_secret_is_in_any_file_of_the_lake(planted_lake: tuple[Path, list[Result]]) -> None:
    lake, _ = planted_lake
    assert in_files(lake, SECRET.all) == []


def test_what_is_no_secret_is_still_there(planted_lake: tuple[Path, list[Result]]) -> None:
    lake, _ = planted_lake
    found = in_files(lake, PUBLIC)
    for name in set(PUBLIC) - {"page"}:
        kinds = {Path(file).suffix for file, where in found if where == name}
        assert {".zst", ".parquet"} <= kinds, name


def test_no_secret_is_said(planted_lake: tuple[Path, list[Result]]) -> None:
    _, results = planted_lake
    assert [in_output(result, SECRET.all) for result in results] == [[], []]


def test_the_secrets_of_a_fleet_are_in_no_file(tmp_path: Path) -> None:
    lake = tmp_path / "lake"
    with Emulator(
        Fleet(FleetSettings(instances=40, repository_share=1)), clock=Clock.at("2026-10-12T00:00:00Z")
    ) as service:
        planted = dict(zip(map(str, range(1000)), service.planted_secrets, strict=False))
        result = run(environment_for(service, lake))
    assert len(planted) > 40
    assert result.exit_code == 0
    assert in_files(lake, planted) == []


ERRORS = {
    "modelarts": (400, b'{"error_code":"ModelArts.6336","error_msg":"bad ?token=%s"}'),
    "key": (400, b'{"error_code":"ModelArts.6336","error_msg":"bad","token":"%s"}'),
    "gateway": (503, b'{"error_code":"APIGW.0613","error_msg":"X-Auth-Token: %s","request_id":"1"}'),
    "iam": (401, b'{"error":{"code":401,"message":"password=%s","title":"Unauthorized"}}'),
    "html": (502, b'<html><a href="https://x/?access_token=%s">retry</a> public-page</html>'),
    "html with 200": (200, b'<html><a href="https://x/?access_token=%s">retry</a> public-page</html>'),
    "error with 200": (200, b'{"error_code":"ModelArts.6361","error_msg":"secret=%s public-page"}'),
    "cut short": (200, b'{"total_count":9,"instances":[{"name":"public-page","password":"%s'),
}


@pytest.mark.parametrize("name", ERRORS)
@pytest.mark.parametrize("echoed", [False, True], ids=["planted", "own-token"])
def test_an_error_that_carries_a_secret_gives_none_away(name: str, echoed: bool, tmp_path: Path) -> None:
    status, body = ERRORS[name]
    with Emulator.of_documents([document(1)]) as service:
        secret = service.token if echoed else SECRET(f"error {name}")
        if echoed:
            body = (
                body.replace(b"?token=%s", b"token %s")
                .replace(b"password=%s", b"not %s")
                .replace(b"=%s", b" %s")
            )
        service.faults.fail_at_request = dict.fromkeys(range(1, 50), Answer(status, body % secret.encode()))
        result = run(environment_for(service, tmp_path / "lake"), "-v")
    assert result.exit_code in (2, 5, 6)
    # A part of a long token is told as easily as all of it.
    parts = {"begin": secret[:24], "middle": secret[len(secret) // 2 :][:24]} if echoed else {"all": secret}
    assert in_output(result, parts) == []
    assert in_files(tmp_path, parts) == []
    if status == 200:
        assert in_files(tmp_path, {"page": PUBLIC["page"]}) != []


def test_a_wrong_password_or_token_is_not_said(tmp_path: Path) -> None:
    with Emulator.of_documents([document(1)]) as service:
        wrong = {
            "DEMETER_TOKEN": "",
            "DEMETER_USER": service.user,
            "DEMETER_PASSWORD": SECRET("wrong password"),
        }
        wrong |= {"DEMETER_DOMAIN": service.domain, "DEMETER_IAM_ENDPOINT": service.endpoint}
        by_password = run(environment_for(service, tmp_path / "a", **wrong), "-v")
        by_token = run(environment_for(service, tmp_path / "b", DEMETER_TOKEN=SECRET("wrong token")), "-v")
    assert (by_password.exit_code, by_token.exit_code) == (5, 5)
    wrong_ones = {name: SECRET.all[name] for name in ("wrong password", "wrong token")}
    assert in_output(by_password, wrong_ones) == in_output(by_token, wrong_ones) == []
    assert in_files(tmp_path, wrong_ones) == []


OWN = ("sk", "security_token", "token_command", "proxy")


@pytest.mark.parametrize("name", OWN)
@pytest.mark.parametrize("status", [200, 400, 401, 503])
def test_whatever_was_signed_in_with_is_not_told_when_it_is_echoed(
    name: str, status: int, tmp_path: Path
) -> None:
    secret = SECRET(f"own {name} {status}")
    echo = json.dumps({"error_code": "X.1", "error_msg": f"got {secret} public-page", "total_count": 9})
    with Emulator.of_documents([document(1)], Clock.at(datetime.now(UTC).isoformat(), speed=1)) as service:
        service.faults.fail_at_request = dict.fromkeys(range(1, 50), Answer(status, echo.encode()))
        key = {"DEMETER_TOKEN": "", "DEMETER_AK": service.access_key.ak, "DEMETER_SK": "the-secret-key"}
        variables = {
            "sk": {**key, "DEMETER_SK": secret},
            "security_token": {**key, "DEMETER_SECURITY_TOKEN": secret},
            "token_command": {"DEMETER_TOKEN": "", "DEMETER_TOKEN_COMMAND": f"echo {secret}"},
            "proxy": {
                "DEMETER_ENDPOINT": "http://modelarts.example.com",
                "DEMETER_ALLOW_HTTP": "true",
                "DEMETER_PROXY": service.endpoint.replace("//", f"//li:{secret}@"),
            },
        }[name]
        result = run(environment_for(service, tmp_path / "lake", **variables), "-v", "--log-format", "json")
        assert service.requests
    assert result.exit_code in (2, 5, 6)
    assert "public-page" in result.stderr
    assert in_output(result, {name: secret}) == []
    assert in_files(tmp_path, {name: secret}) == []


def test_a_lake_is_for_its_owner_alone(planted_lake: tuple[Path, list[Result]]) -> None:
    lake, _ = planted_lake
    assert lake.stat().st_mode & 0o077 == 0


def test_the_lake_is_where_the_test_looks(planted_lake: tuple[Path, list[Result]]) -> None:
    """Each kind of file is among those that were looked through."""
    lake, _ = planted_lake
    suffixes = {file.suffix for file in lake.rglob("*") if file.is_file()}
    assert {".zst", ".parquet", ".json", ".duckdb"} <= suffixes
    assert Lake(lake).delta("sweeps").version() >= 2
