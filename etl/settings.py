"""Settings: demeter.toml, then DEMETER_* of the environment, then options; the last one wins."""

from __future__ import annotations

import ipaddress
import math
import os
import re
import stat
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urlsplit

from etl.errors import UsageError

SECRETS = ("token", "password", "sk", "security_token", "pseudonym_key")
SHORTEST_KEY = 16
CONTRACTS = ("evolve", "warn", "strict")
FROM_ZERO = ("max_sweep_age_minutes", "wait_seconds")
MEMORY = re.compile(r"[0-9]+(\.[0-9]+)? *[KMGT]i?B")
DEFAULT_FILE = Path("demeter.toml")


@dataclass(frozen=True)
class Settings:
    """What a run needs to know; the names are those of demeter.toml and, in capitals, of DEMETER_*."""

    lake: str = "lake"
    endpoint: str = ""
    project_id: str = ""
    iam_endpoint: str = ""
    user: str = ""
    domain: str = ""
    region: str = ""
    ak: str = ""
    token_command: str = ""
    proxy: str = ""
    ca_bundle: str = ""
    limit: int = 500
    concurrency: int = 4
    requests_per_second: float = 20.0
    tz: str = "Asia/Shanghai"
    billed_statuses: str = "RUNNING"
    prices: str = ""
    exchange_rates: str = ""
    currency: str = "CNY"
    dedicated_pools_are_billed: bool = False
    provider: str = "Huawei Cloud"
    service: str = "ModelArts"
    billing_account: str = ""
    billing_account_name: str = ""
    region_name: str = ""
    timeout_seconds: float = 60.0
    total_seconds: float = 900.0
    attempts: int = 6
    response_bytes: int = 512_000_000
    one_answer_rows: int = 40_000
    memory: str = "1GB"
    reports: str = ""
    reports_directory: str = "reports"
    reports_format: str = "csv"
    reports_lang: str = "en"
    metrics_file: str = ""
    raw_days: float = 14.0
    vacuum_hours: int = 168
    contract: str = "evolve"
    quarantine_rows: int = 0
    quarantine_share: float = 1.0
    max_sweep_age_minutes: float = 0.0
    wait_seconds: float = 0.0
    allow_http: bool = False
    token: str = ""
    password: str = ""
    sk: str = ""
    security_token: str = ""
    pseudonym_key: str = ""

    def __repr__(self) -> str:
        # The URL of a proxy may hold a password, and the arguments of a command anything.
        hidden = (*SECRETS, "proxy", "token_command")
        shown = ", ".join(
            f"{field.name}={getattr(self, field.name)!r}"
            for field in fields(self)
            if field.name not in hidden
        )
        return f"Settings({shown})"


def load(
    options: Mapping[str, Any],
    environment: Mapping[str, str] = os.environ,
    file: Path | None = None,
) -> Settings:
    """The settings of a run; UsageError names what is malformed and where it was said."""
    settings = Settings()
    for source, values in _sources(options, environment, file):
        known = {field.name: field for field in fields(Settings)}
        for name, value in values.items():
            if name not in known:
                raise UsageError(f"{source} has an unknown setting {name!r}: see `demeter sweep --help`")
            kind = type(getattr(Settings, name))
            settings = replace(settings, **{name: _converted(value, kind, name, source)})
    return settings


def settings_of(given: Mapping[str, Any], **options: Any) -> Settings:
    """The settings of a command: `given` are the options of `demeter` itself, `options` its own."""
    return load({"lake": given["lake"], **options}, file=given["file"])


def require(settings: Settings, *names: str) -> None:
    """Raise UsageError unless each of the settings has a value."""
    for name in names:
        if not getattr(settings, name):
            raise UsageError(
                f"no {name} is set: set DEMETER_{name.upper()}"
                + ("" if name in SECRETS else f" or `{name}` in {DEFAULT_FILE}")
            )


def check_key(key: str) -> None:
    """Raise UsageError for a key of pseudonyms that could be guessed."""
    if 0 < len(key) < SHORTEST_KEY:
        raise UsageError(
            f"pseudonym_key is short enough to be guessed: take {SHORTEST_KEY} characters or more"
        )


def check_url(url: str, name: str, allow_http: bool) -> None:
    """Raise UsageError unless the URL can be sent requests with credentials in them."""
    if "@" in url:
        raise UsageError(f"{name} may only hold a host and a path: no user and no password")
    parts = _split(url)
    if parts is None or parts.scheme not in ("http", "https") or not parts.hostname:
        raise UsageError(f"{name} {url!r} is not a URL: it looks like https://modelarts.REGION.example.com")
    if parts.query or parts.fragment:
        raise UsageError(f"{name} may only hold a host and a path: no user, query or fragment")
    if parts.scheme == "http" and not allow_http and not is_loopback(parts.hostname):
        raise UsageError(
            f"{name} {url!r} would send credentials unencrypted: use https, or set allow_http = true"
        )


def check_project(project_id: str) -> None:
    """Raise UsageError unless the id can stand in a URL and in a file name."""
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", project_id):
        raise UsageError(f"project_id {project_id!r} is not an id: letters, digits, - and _ only")


def is_loopback(host: str) -> bool:
    """Whether a host, by name or address, is this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _sources(
    options: Mapping[str, Any], environment: Mapping[str, str], file: Path | None
) -> list[tuple[str, Mapping[str, Any]]]:
    given = {name: value for name, value in options.items() if value is not None}
    return [
        (str(file or DEFAULT_FILE), _from_file(file)),
        ("the environment", _from_environment(environment)),
        ("the command line", given),
    ]


def _from_file(file: Path | None) -> dict[str, Any]:
    path = file or DEFAULT_FILE
    if file is None and not path.exists():
        return {}
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UsageError(f"there is no settings file {path}: check --settings") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"{path} cannot be read as settings: {error}") from None
    for name in SECRETS:
        if name in values:
            raise UsageError(f"{path} holds the secret {name!r}: put it in DEMETER_{name.upper()} instead")
    if "@" in str(values.get("proxy", "")):
        raise UsageError(f"{path} holds a password in 'proxy': put its URL in DEMETER_PROXY instead")
    if values.get("token_command"):
        _check_owner(path)
    return values


def _check_owner(path: Path) -> None:
    """Raise UsageError where somebody else could write the command that a settings file names."""
    status = path.stat()
    if status.st_uid not in (0, os.getuid()) or status.st_mode & stat.S_IWOTH:
        raise UsageError(
            f"{path} sets token_command, and others may write it: make the file your own, and chmod o-w"
        )


def _from_environment(environment: Mapping[str, str]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for field in fields(Settings):
        variable = f"DEMETER_{field.name.upper()}"
        if field.name in SECRETS and environment.get(f"{variable}_FILE"):
            values[field.name] = _secret_in(environment[f"{variable}_FILE"], f"{variable}_FILE")
        if environment.get(variable):
            values[field.name] = environment[variable]
    return values


def _secret_in(path: str, variable: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{variable}: the file cannot be read: {error}") from None


def _converted(value: Any, kind: type, name: str, source: str) -> Any:
    """The value as the setting's type; whole text for text, positive for most numbers."""
    try:
        if kind is bool:
            return _boolean(value)
        if isinstance(value, bool) or (kind is str and not isinstance(value, str)):
            raise ValueError
        converted = kind(value)
        if kind in (int, float) and not (math.isfinite(converted) and _is_enough(converted, name)):
            raise ValueError
        if kind is int and isinstance(value, float) and not value.is_integer():
            raise ValueError
        if name == "contract" and converted not in CONTRACTS:
            raise ValueError
        if name == "memory" and not MEMORY.fullmatch(converted):
            raise ValueError
    except (TypeError, ValueError, KeyError):
        shown = "a value that" if name in SECRETS else f"{value!r}, which"
        wanted = {bool: "true or false", str: "text"}.get(kind, "a number above 0")
        if name == "contract":
            wanted = f"one of {', '.join(CONTRACTS)}"
        if name in FROM_ZERO:
            wanted = "0 or a number above it"
        if name == "memory":
            wanted = "a size like 1GB"
        raise UsageError(f"{source} sets {name} to {shown} is not {wanted}") from None
    return converted


def _is_enough(number: float, name: str) -> bool:
    """Whether a number is large enough for the setting."""
    return number > 0 or (number == 0 and name in FROM_ZERO)


def _boolean(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    return {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}[str(value).lower()]


def _split(url: str) -> SplitResult | None:
    """The parts of a URL; None where its host or port cannot be one."""
    try:
        parts = urlsplit(url)
        return parts if parts.port != 0 else None
    except ValueError:
        return None
