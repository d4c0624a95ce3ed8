"""The emulated service in a process of its own: `python -m bench.serve INSTANCES`, which is told what to do.

Documents are made before they are asked for, so that an answer is little more than their bytes. Each line of
JSON that is read is answered by one: `{}` asks for what was used so far, `{"minutes": 15, "changed": 200}`
moves the clock on, and lets so many instances change. With `--days DAYS` the fleet lives for so long instead,
and changes as it does in the demo; with `--projects COUNT` there are so many of it, each another one.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import orjson

from etl.emulator import Clock, Emulator, Fleet, FleetSettings
from etl.emulator.states import MINUTE

# Nothing happens but what is asked for, and the time that runs out for those that run.
FLEET = FleetSettings(instances=20_000, days=30, unchanging=True)
OTHER = {"RUNNING": "STOPPED"}
FOR_GOOD = 1e9  # Seconds that a token is good for: the clock moves faster than the one on the wall.


class Documents:
    """The documents of a fleet at an instant; what was changed stays so."""

    def __init__(self, settings: FleetSettings) -> None:
        self._source = Fleet(settings).source()
        self._changed: dict[int, tuple[str, int]] = {}
        self._next = 0

    def at(self, now_us: int) -> list[bytes]:
        """All documents, in the order of their creation."""
        bodies = [row.body(now_us) for row in self._source.rows_at(now_us)]
        for number, (status, changed_us) in self._changed.items():
            document = orjson.loads(bodies[number])
            document |= {"status": status, "latest_update_timestamp": str(changed_us // 1000)}
            bodies[number] = orjson.dumps(document, option=orjson.OPT_SORT_KEYS)
        return bodies

    def change(self, count: int, now_us: int) -> None:
        """Start or stop so many of them, each time the next ones, spread over the listing."""
        rows = self._source.rows_at(now_us)
        for _ in range(count):
            # Coprime to most lengths: neighbours in time lie far apart in the listing.
            number = self._next * 7919 % len(rows)
            before = self._changed.get(number, (rows[number].status, 0))[0]
            self._changed[number] = (OTHER.get(str(before), "RUNNING"), now_us)
            self._next += 1


def main() -> None:
    """Serve until the standard input ends."""
    parser = argparse.ArgumentParser()
    parser.add_argument("instances", type=int)
    parser.add_argument("--days", type=float)
    parser.add_argument("--projects", type=int)
    given = parser.parse_args()
    users = max(20, given.instances // 100)
    if given.projects:
        settings = FleetSettings(instances=given.instances, users=users, days=given.days)
        serve_projects([replace(settings, seed=number) for number in range(given.projects)])
    elif given.days:
        serve_living(FleetSettings(instances=given.instances, users=users, days=given.days))
    else:
        serve_documents(replace(FLEET, instances=given.instances, users=users))


def serve_living(settings: FleetSettings) -> None:
    """Serve a fleet that changes by itself as the clock is moved on."""
    clock = Clock.at(settings.start)
    with Emulator(Fleet(settings), clock, token_seconds=FOR_GOOD) as service:
        for told in heard(service):
            clock.advance(minutes=told["minutes"])


def serve_projects(every: list[FleetSettings]) -> None:
    """Serve projects of which each has a fleet that changes by itself, to who signs in as a user."""
    clock = Clock.at(every[0].start)
    fleets = {f"{number:032x}": Fleet(settings) for number, settings in enumerate(every, start=1)}
    with Emulator(clock=clock, fleets=fleets, token_seconds=FOR_GOOD) as service:
        names = ("domain", "user", "password")
        reply(
            endpoint=service.endpoint,
            iam_endpoint=service.endpoint,
            discover="true",
            **{name: getattr(service, name) for name in names},
        )
        for told in told_to(service):
            clock.advance(minutes=told["minutes"])


def serve_documents(settings: FleetSettings) -> None:
    """Serve documents in which nothing changes but what is asked for."""
    documents = Documents(settings)
    clock = Clock.at(settings.start)
    listed = documents.at(clock.now_us())
    with Emulator.of_documents(listed, clock, token_seconds=FOR_GOOD) as service:
        for told in heard(service):
            clock.advance(minutes=told["minutes"])
            documents.change(told["changed"], clock.now_us() - MINUTE)
            service.documents = documents.at(clock.now_us())


def heard(service: Emulator) -> Iterator[dict[str, Any]]:
    """What the service is told, each to be done before it answers."""
    reply(endpoint=service.endpoint, project_id=service.project_id, token=service.token)
    yield from told_to(service)


def told_to(service: Emulator) -> Iterator[dict[str, Any]]:
    """The same of a service that has made itself known."""
    for line in sys.stdin:
        told: dict[str, Any] = json.loads(line)
        if told:
            yield told
        reply(cpu_seconds=time.process_time(), requests=len(service.requests))


def reply(**said: Any) -> None:
    """One line for the one who asked."""
    print(json.dumps(said), flush=True)


if __name__ == "__main__":
    main()
