"""Settings: demeter.toml, then DEMETER_* of the environment, then options; the last one wins."""

from __future__ import annotations

import ipaddress
import math
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urlsplit

from etl import sources
from etl.apis import APIS, DEMANAGER
from etl.errors import UsageError
from etl.sources import DEFAULT_FILE, SECRETS, Values

SHORTEST_KEY = 16
REGION = "{region}"  # in an endpoint: where it stands, the region of a project is put
DUCKDB, SPARK = ENGINES = ("duckdb", "spark")
CONTRACTS = ("evolve", "warn", "strict")
CHOICES = {
    "engine": ENGINES,
    "api": APIS,
    "contract": CONTRACTS,
    "mail_security": ("starttls", "tls", "none"),
    "budget_period": ("month", "week", "day"),
}
FROM_ZERO = (
    *("max_sweep_age_minutes", "wait_seconds", "quarantine_rows", "jitter_seconds"),
    *("budget", "notify_forgotten", "notify_again_hours", "workers"),
)
MEMORY = re.compile(r"([0-9]+(?:\.[0-9]+)?) *([KMGT])(i?)B")


@dataclass(frozen=True)
class Settings:
    """What a run needs to know; the names are those of demeter.toml and, in capitals, of DEMETER_*."""

    lake: str = "lake"
    endpoint: str = ""
    project_id: str = ""
    api: str = DEMANAGER
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
    workers: int = 0
    discover: bool = False
    regions: str = ""
    tz: str = "Asia/Shanghai"
    billed_statuses: str = "RUNNING"
    prices: str = ""
    bss_endpoint: str = ""
    inquiry_hours: float = 24.0
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
    engine: str = DUCKDB
    master: str = "local[*]"
    reports: str = ""
    reports_directory: str = "reports"
    reports_format: str = "csv"
    reports_lang: str = "en"
    metrics_file: str = ""
    jitter_seconds: float = 0.0
    notify_forgotten: int = 0
    forgotten_hours: float = 24.0
    budget: float = 0.0
    budget_period: str = "month"
    notify_again_hours: float = 24.0
    notify_template: str = ""
    mail_server: str = ""
    mail_port: int = 587
    mail_security: str = "starttls"
    mail_user: str = ""
    mail_from: str = ""
    mail_to: str = ""
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
    webhook_url: str = ""
    mail_password: str = ""

    def __repr__(self) -> str:
        # The URL of a proxy may hold a password, and the arguments of a command anything.
        hidden = (*SECRETS, "proxy", "token_command")
        shown = ", ".join(
            f"{field.name}={getattr(self, field.name)!r}"
            for field in fields(self)
            if field.name not in hidden
        )
        return f"Settings({shown})"

    @property
    def memory_bytes(self) -> int:
        """What `memory` comes to."""
        said = MEMORY.fullmatch(self.memory)
        if not said:
            raise UsageError(f"memory is {self.memory!r}: give a size like 1GB")
        number, unit, binary = said.groups()
        return int(float(number) * (1024 if binary else 1000) ** ("KMGT".index(unit) + 1))


NAMES = tuple(field.name for field in fields(Settings))


def load(
    options: Mapping[str, Any],
    environment: Mapping[str, str] = os.environ,
    file: Path | None = None,
) -> Settings:
    """The settings of a run; UsageError names what is malformed and where it was said."""
    said = sources.read(file)
    return settled([*common(said, environment), ("the command line", options)])


def common(said: sources.Said, environment: Mapping[str, str]) -> list[tuple[str, Values]]:
    """What a file and the environment say of all projects, the later the stronger; with who said it."""
    path = str(said.path)
    return [
        (path, sources.with_secrets(said.common, path)),
        ("the environment", sources.of_environment(environment, NAMES)),
    ]


def settled(said: Iterable[tuple[str, Values]]) -> Settings:
    """The settings as several sources say them, the last one wins; None says nothing."""
    settings = Settings()
    for source, values in said:
        for name, value in values.items():
            if name not in NAMES:
                raise UsageError(
                    f"{source} has an unknown setting {name!r}: docs/reference.md lists them, and so does "
                    "the file that `demeter init` writes"
                )
            if value is not None:
                kind = type(getattr(Settings, name))
                settings = replace(settings, **{name: _converted(value, kind, name, source)})
    return placed(settings, settings.region)


def placed(settings: Settings, project: str) -> Settings:
    """The settings with the region of a project, with whose name its own begins, in the endpoint."""
    region = project.partition("_")[0]
    return replace(settings, endpoint=settings.endpoint.replace(REGION, region)) if region else settings


def settings_of(given: Mapping[str, Any], **options: Any) -> Settings:
    """The settings of a command: `given` are the options of `demeter` itself, `options` its own."""
    return load({"lake": given["lake"], **options}, file=given["file"])


def require(settings: Settings, *names: str) -> None:
    """Raise UsageError unless each of the settings has a value."""
    for name in names:
        if not getattr(settings, name):
            raise UsageError(
                f"no {name} is set: set DEMETER_{name.upper()}"
                + f" or `{name}{'_file' if name in SECRETS else ''}` in {DEFAULT_FILE}"
            )


def check_key(key: str) -> None:
    """Raise UsageError for a key of pseudonyms that could be guessed."""
    if 0 < len(key) < SHORTEST_KEY:
        raise UsageError(
            f"pseudonym_key is short enough to be guessed: take {SHORTEST_KEY} characters or more"
        )


def check_url(url: str, name: str, allow_http: bool) -> None:
    """Raise UsageError unless the URL can be sent requests with credentials in them."""
    if REGION in url:
        raise UsageError(f"{name} has {REGION} in it, and no region is known: set region")
    if "@" in url:
        raise UsageError(f"{name} may only hold a host and a path: take user and password out")
    parts = _split(url)
    if parts is None or parts.scheme not in ("http", "https") or not parts.hostname:
        raise UsageError(f"{name} {url!r} is not a URL: it looks like https://modelarts.REGION.example.com")
    if parts.query or parts.fragment:
        raise UsageError(f"{name} may only hold a host and a path: take user, query and fragment out")
    if parts.scheme == "http" and not allow_http and not is_loopback(parts.hostname):
        raise UsageError(
            f"{name} {url!r} would send credentials unencrypted: use https, or set allow_http = true"
        )


def check_project(project_id: str) -> None:
    """Raise UsageError unless the id can stand in a URL and in a file name."""
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", project_id):
        raise UsageError(
            f"project_id {project_id!r} is not an id: copy it again, it has letters, digits, - and _ only"
        )


def is_loopback(host: str) -> bool:
    """Whether a host, by name or address, is this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


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
        if converted not in CHOICES.get(name, (converted,)):
            raise ValueError
        if name == "memory" and not MEMORY.fullmatch(converted):
            raise ValueError
    except (TypeError, ValueError, KeyError):
        shown = "a value that" if name in SECRETS else f"{value!r}, which"
        wanted = {bool: "true or false", str: "text"}.get(kind, "a number above 0")
        if name in CHOICES:
            wanted = f"one of {', '.join(CHOICES[name])}"
        if name in FROM_ZERO:
            wanted = "0 or a number above it"
        if name == "memory":
            wanted = "a size like 1GB"
        raise UsageError(f"{source} sets {name} to {shown} is not {wanted}: mend it there") from None
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
