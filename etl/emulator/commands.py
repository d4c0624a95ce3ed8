"""What `demeter emulate` does: serve a fleet or the sample, and say how to reach it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from dataclasses import fields, replace
from datetime import UTC, datetime

from etl.emulator.clock import Clock
from etl.emulator.emulator import PROJECT_ID, Emulator
from etl.emulator.faults import Faults
from etl.emulator.fleet import Fleet
from etl.emulator.settings import FleetSettings
from etl.errors import UsageError

# The one that is printed cannot be renewed: it lasts a day, however fast the clock runs.
TOKEN_SECONDS = 86_400


def serve(
    fleet: FleetSettings,
    clock: Clock,
    faults: Faults,
    *,
    projects: int,
    sample: bool,
    host: str,
    port: int,
    say: Callable[[str], None],
) -> None:
    """Serve until interrupted; `say` is given the settings that lead a sweep here."""
    try:
        service = (
            Emulator.of_sample(faults=faults, host=host, port=port)
            if sample
            else Emulator(
                None,
                clock,
                faults,
                fleets=fleets(fleet, projects),
                host=host,
                port=port,
                token_seconds=TOKEN_SECONDS * max(clock.speed, 1),
            )
        )
        with service:
            for line in environment(service):
                say(line)
            service.wait()
    except OSError as error:
        raise UsageError(f"{host}:{port} cannot be listened on: {error.strerror}; try --port 0") from None


def fleets(settings: FleetSettings, projects: int) -> dict[str, Fleet]:
    """A fleet for each of so many projects, each drawn differently."""
    ids = [PROJECT_ID, *(hashlib.sha256(b"%d" % number).hexdigest()[:32] for number in range(1, projects))]
    return {key: Fleet(replace(settings, seed=settings.seed + number)) for number, key in enumerate(ids)}


def environment(service: Emulator) -> list[str]:
    """Shell lines that make demeter list the service: its project, or all where there are several."""
    if len(service.project_ids) > 1:
        return [
            f"export DEMETER_ENDPOINT={service.endpoint}",
            f"export DEMETER_IAM_ENDPOINT={service.endpoint}",
            f"export DEMETER_DOMAIN={service.domain}",
            f"export DEMETER_USER={service.user}",
            f"export DEMETER_PASSWORD={service.password}",
            "export DEMETER_DISCOVER=true",
        ]
    return [
        f"export DEMETER_ENDPOINT={service.endpoint}",
        f"export DEMETER_PROJECT_ID={service.project_id}",
        f"export DEMETER_TOKEN={service.token}",
    ]


def instant_of(text: str | None) -> str:
    """The instant that a user gave (ISO 8601), or now."""
    try:
        return datetime.fromisoformat(text).isoformat() if text else datetime.now(UTC).isoformat()
    except ValueError:
        raise UsageError(f"--at {text!r} is not a time: it looks like 2026-10-12T08:00:00Z") from None


def faults_of(settings: Iterable[str]) -> Faults:
    """The faults named as NAME=VALUE, the value as JSON."""
    faults = Faults()
    known = [field.name for field in fields(Faults) if field.init]
    for setting in settings:
        name, _, value = setting.partition("=")
        if name not in known:
            raise UsageError(f"there is no fault {name!r}: take one of {', '.join(sorted(known))}")
        try:
            setattr(faults, name, json.loads(value or "true"))
        except ValueError:
            raise UsageError(
                f"--fault {setting!r}: the value is not JSON: write it as in page_cap=50"
            ) from None
    return faults
