"""A wrong setting or lake is refused in one line, before anything is asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support import (
    document,
    environment_for,
    one_line,
    run,
)

from etl.emulator import Emulator
from etl.errors import UsageError
from etl.settings import check_url

GOOD = document(1)


@pytest.fixture(scope="module")
def service() -> Iterator[Emulator]:
    with Emulator.of_documents([GOOD]) as running:
        yield running


FULL = {
    "DEMETER_ENDPOINT": "https://modelarts.example.com",
    "DEMETER_PROJECT_ID": "0123456789abcdef",
    "DEMETER_TOKEN": "a-token",
}


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"DEMETER_ENDPOINT": ""}, "no endpoint is set: set DEMETER_ENDPOINT"),
        ({"DEMETER_PROJECT_ID": ""}, "no project_id is set: set DEMETER_PROJECT_ID"),
        ({"DEMETER_TOKEN": ""}, "no credentials: set DEMETER_TOKEN"),
        ({"DEMETER_TOKEN": "", "DEMETER_USER": "li"}, "no password is set: set DEMETER_PASSWORD"),
        (
            {"DEMETER_TOKEN": "", "DEMETER_USER": "li", "DEMETER_PASSWORD": "x", "DEMETER_DOMAIN": "d"},
            "no iam_endpoint is set",
        ),
        (
            {
                "DEMETER_TOKEN": "",
                "DEMETER_USER": "li",
                "DEMETER_PASSWORD": "x",
                "DEMETER_DOMAIN": "d",
                "DEMETER_IAM_ENDPOINT": "http://iam.example.com",
            },
            "iam_endpoint 'http://iam.example.com' would send credentials unencrypted",
        ),
        (
            {
                "DEMETER_USER": "li",
                "DEMETER_PASSWORD": "x",
                "DEMETER_DOMAIN": "d",
                "DEMETER_IAM_ENDPOINT": "http://iam.example.com",
            },
            "iam_endpoint 'http://iam.example.com' would send credentials unencrypted",
        ),
        ({"DEMETER_AK": "a"}, "token and ak are set, and each is a way to sign in: keep one of them"),
        (
            {"DEMETER_TOKEN": "", "DEMETER_USER": "li", "DEMETER_TOKEN_COMMAND": "x"},
            "token_command and user are set, and each is a way to sign in: keep one of them",
        ),
        ({"DEMETER_TOKEN": "", "DEMETER_AK": "a"}, "no sk is set: set DEMETER_SK"),
        ({"DEMETER_TOKEN": "", "DEMETER_SK": "s"}, "no ak is set: set DEMETER_AK or `ak` in demeter.toml"),
        (
            {"DEMETER_TOKEN": "", "DEMETER_AK": "a\nb", "DEMETER_SK": "s"},
            "the ak has characters in it that no ak has",
        ),
        (
            {"DEMETER_TOKEN": "", "DEMETER_AK": "a", "DEMETER_SK": "s", "DEMETER_SECURITY_TOKEN": "→"},
            "the security_token has characters in it that no security_token has",
        ),
        ({"DEMETER_SK_FILE": "/nowhere/sk"}, "DEMETER_SK_FILE: the file cannot be read"),
        ({"DEMETER_TOKEN_FILE": "/nowhere/token"}, "DEMETER_TOKEN_FILE: the file cannot be read"),
        ({"DEMETER_TOKEN": "two\nlines"}, "the token has characters in it that no token has"),
        ({"DEMETER_TOKEN": "t→ken"}, "the token has characters in it that no token has"),
        ({"DEMETER_ENDPOINT": "modelarts.example.com"}, "endpoint 'modelarts.example.com' is not a URL"),
        ({"DEMETER_ENDPOINT": "ftp://example.com"}, "endpoint 'ftp://example.com' is not a URL"),
        ({"DEMETER_ENDPOINT": "https://"}, "endpoint 'https://' is not a URL"),
        ({"DEMETER_ENDPOINT": "https://[::1"}, "endpoint 'https://[::1' is not a URL"),
        ({"DEMETER_ENDPOINT": "https://host:99999"}, "endpoint 'https://host:99999' is not a URL"),
        ({"DEMETER_ENDPOINT": "https://li:secret@example.com"}, "endpoint may only hold a host and a path"),
        ({"DEMETER_ENDPOINT": "https://example.com/?token=x"}, "endpoint may only hold a host and a path"),
        (
            {"DEMETER_ENDPOINT": "http://modelarts.example.com"},
            "endpoint 'http://modelarts.example.com' would send credentials unencrypted: use https",
        ),
        (
            {"DEMETER_ENDPOINT": "http://127.0.0.1.example.com"},
            "endpoint 'http://127.0.0.1.example.com' would",
        ),
        ({"DEMETER_PROJECT_ID": "a/b"}, "project_id 'a/b' is not an id"),
        ({"DEMETER_PROJECT_ID": "../x"}, "project_id '../x' is not an id"),
        ({"DEMETER_PROJECT_ID": "a b"}, "project_id 'a b' is not an id"),
        ({"DEMETER_PROJECT_ID": "ü"}, "project_id 'ü' is not an id"),
        ({"DEMETER_PROJECT_ID": "x" * 65}, "project_id 'xxxx"),
        ({"DEMETER_LIMIT": "many"}, "the environment sets limit to 'many', which is not a number above 0"),
        ({"DEMETER_LIMIT": "0"}, "the environment sets limit to '0', which is not a number above 0"),
        ({"DEMETER_LIMIT": "-5"}, "the environment sets limit to '-5', which is not a number above 0"),
        ({"DEMETER_TIMEOUT_SECONDS": "nan"}, "the environment sets timeout_seconds to 'nan'"),
        ({"DEMETER_ALLOW_HTTP": "perhaps"}, "the environment sets allow_http to 'perhaps'"),
    ],
    ids=lambda value: next(iter(value.items())) if isinstance(value, dict) else "",
)
def test_a_wrong_setting_is_refused_in_one_line_before_anything_is_made(
    environment: dict[str, str], said: str, tmp_path: Path
) -> None:
    result = run({**FULL, "DEMETER_LAKE": str(tmp_path / "lake"), **environment})
    assert one_line(result).startswith(said)
    assert result.exit_code == 2
    assert not (tmp_path / "lake").exists()


def test_http_goes_to_loopback_and_elsewhere_only_where_it_is_allowed() -> None:
    for host in ("localhost", "127.0.0.1", "127.8.8.8", "[::1]"):
        check_url(f"http://{host}:80", "endpoint", allow_http=False)
    check_url("http://example.com", "endpoint", allow_http=True)
    for host in ("example.com", "localhost.example.com", "10.0.0.1", "[2001:db8::1]"):
        with pytest.raises(UsageError, match="unencrypted"):
            check_url(f"http://{host}", "endpoint", allow_http=False)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("lake = ", "cannot be read as settings: Invalid value"),
        ("lake = 5", "sets lake to 5, which is not text"),
        ("limit = true", "sets limit to True, which is not a number above 0"),
        ('limit = "500 rows"', "sets limit to '500 rows', which is not a number above 0"),
        ("allow_http = 2", "sets allow_http to 2, which is not true or false"),
        ("colour = 'red'", "has an unknown setting 'colour'"),
        ("[sweep]\nlimit = 5", "has an unknown setting 'sweep'"),
        ("token = 'abc'", "holds the secret 'token': put it in DEMETER_TOKEN instead"),
        ("sk = 'abc'", "holds the secret 'sk': put it in DEMETER_SK instead"),
        (
            "security_token = 'abc'",
            "holds the secret 'security_token': put it in DEMETER_SECURITY_TOKEN instead",
        ),
        ("password = 'abc'", "holds the secret 'password': put it in DEMETER_PASSWORD instead"),
        (b"\xff\xfe", "cannot be read as settings"),
    ],
    ids=repr,
)
def test_a_malformed_settings_file_is_refused_in_one_line(
    text: str | bytes, said: str, tmp_path: Path
) -> None:
    file = tmp_path / "demeter.toml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    result = run({**FULL, "DEMETER_LAKE": str(tmp_path / "lake")}, "--settings", str(file))
    assert result.exit_code == 2
    assert one_line(result).startswith(f"{file} {said}")
    assert "abc" not in result.output


def test_a_settings_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    result = run(FULL, "--settings", str(tmp_path / "none.toml"))
    assert (result.exit_code, one_line(result)[:26]) == (2, "there is no settings file ")


# Lakes.


def spoil_as_file(path: Path) -> None:
    path.write_text("not a lake")


def spoil_under_a_file(path: Path) -> None:
    path.parent.rmdir()
    path.parent.write_text("not a directory")


def spoil_by_version(path: Path) -> None:
    path.mkdir()
    (path / "demeter.json").write_text('{"version": 999}')


def spoil_by_marker(path: Path) -> None:
    path.mkdir()
    (path / "demeter.json").write_text("{")


def spoil_by_table(path: Path) -> None:
    (path / "tables").mkdir(parents=True)
    (path / "tables" / "instances").write_text("not a table")


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (spoil_as_file, "is a file: give a directory with DEMETER_LAKE"),
        (spoil_under_a_file, "cannot be written"),
        (spoil_by_version, "is of version 999 and this demeter knows 1: upgrade demeter"),
        (spoil_by_marker, "cannot be read (what it holds is damaged): restore it from a backup"),
        (spoil_by_table, "cannot be written"),
    ],
)
def test_a_lake_that_cannot_be_one_is_refused_before_anything_is_asked_for(
    spoil: Callable[[Path], None], said: str, service: Emulator, tmp_path: Path
) -> None:
    lake = tmp_path / "directory" / "lake"
    lake.parent.mkdir()
    spoil(lake)
    environment = environment_for(service, lake)
    service.requests.clear()
    result = run(environment)
    assert result.exit_code == 2
    assert said in one_line(result)
    assert not service.requests
