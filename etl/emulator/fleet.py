"""A fleet: instances drawn from settings, each with a life, and the truth about all of them."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Sequence
from functools import cached_property
from random import Random

from etl.emulator import catalogue
from etl.emulator.catalogue import FLAVORS_OF, GROUPS, PROFILES_OF, Json
from etl.emulator.clock import microseconds
from etl.emulator.documents import Fixed, secrets
from etl.emulator.drawing import AUTO_STOP_SECONDS
from etl.emulator.identifiers import instance_id
from etl.emulator.instance import Instance, Interval
from etl.emulator.lives import Life
from etl.emulator.rows import Caller
from etl.emulator.settings import FleetSettings
from etl.emulator.states import DAY, MILLISECOND, Plan
from etl.emulator.view import View


class Fleet:
    """All instances that settings make, those that are created later included."""

    def __init__(self, settings: FleetSettings | None = None) -> None:
        self.settings = settings or FleetSettings()
        self.starts_at = self.settings.start
        self.start_us = microseconds(self.settings.start)
        # Lives are drawn on demand, by the threads of services and of those who ask for the truth.
        self.lock = threading.RLock()
        self._workspaces = ["0", *_ids("workspace", self.settings.workspaces)]
        self._projects = ["default-ai-project", *_ids("project", self.settings.ai_projects)]
        self.users = [_user(self.settings.seed, number) for number in range(self.settings.users)]
        created = self._creations()
        self.instances = [self._instance(*numbered) for numbered in enumerate(created)]

    @property
    def caller(self) -> Caller:
        """The first user, whom tokens are issued to."""
        return Caller(self.users[0]["id"], self.users[0]["name"])

    @cached_property
    def planted_secrets(self) -> Sequence[str]:
        """Every made-up credential in the documents of the fleet."""
        return [secret for instance in self.instances for secret in secrets(instance.fixed)]

    def source(self) -> View:
        """The rows of the fleet, for one service and its clock."""
        return View(self)

    def truth(self, instance_id: str) -> list[Interval]:
        """What an instance was, from its creation to its end; as listed or not."""
        life = self._of_id[instance_id].life
        with self.lock:
            life.reach_end()
        return _intervals(life)

    def running_microseconds(
        self, instance_id: str, from_us: int, to_us: int, statuses: Sequence[str] = ("RUNNING",)
    ) -> int:
        """How long an instance was RUNNING (or in any of the statuses) between two instants."""
        total_us = 0
        for interval in self.truth(instance_id):
            if interval.status in statuses:
                ended_us = to_us if interval.ended_us is None else min(interval.ended_us, to_us)
                total_us += max(0, ended_us - max(interval.started_us, from_us))
        return total_us

    def ids_at(self, instant_ms: int) -> set[str]:
        """The ids of all instances that are listed at an instant, in milliseconds."""
        with self.lock:
            found = [(one, one.life.state_at(instant_ms * MILLISECOND)) for one in self.instances]
        return {one.instance_id for one, state in found if state is not None and state.is_listed}

    @cached_property
    def _of_id(self) -> dict[str, Instance]:
        return {instance.instance_id: instance for instance in self.instances}

    def _creations(self) -> list[int]:
        settings, random = self.settings, Random(self.settings.seed)
        ages = [random.expovariate(1 / 20) * DAY for _ in range(settings.instances)]
        created = [self.start_us - DAY // 12 - int(min(age, 300 * DAY)) for age in ages]
        if not settings.unchanging:
            later = round(settings.instances * settings.created_share * settings.days)
            last_us = int(settings.days * DAY)
            created += [self.start_us + random.randrange(last_us) for _ in range(later)]
        created.sort()
        for number in range(1, len(created)):
            # Never with one from before the start: those are as many as the settings say.
            is_first_new = created[number - 1] < self.start_us <= created[number]
            if random.random() < settings.tie_share and not is_first_new:
                created[number] = created[number - 1]
        return [instant // MILLISECOND * MILLISECOND for instant in created]

    def _instance(self, index: int, created_us: int) -> Instance:
        random = Random((self.settings.seed << 48) ^ (index << 16) ^ 0xFFFF)
        plan = self._plan(index, created_us, random)
        life = Life(plan, self.settings, self.start_us)
        return Instance(self._fixed(plan, random), life)

    def _plan(self, index: int, created_us: int, random: Random) -> Plan:
        settings = self.settings
        shares = (settings.npu_share, settings.gpu_share, settings.cpu_share, settings.free_share)
        group = random.choices(GROUPS, shares)[0]
        flavor = random.choice(FLAVORS_OF[group])
        is_forgotten = not flavor.is_free and random.random() < settings.forgotten_share
        seconds = 3600 if flavor.is_free else 0
        if not flavor.is_free and not is_forgotten and random.random() < settings.auto_stop_share:
            seconds = random.choice(AUTO_STOP_SECONDS)
        return Plan(index, created_us, flavor, _name(random), seconds, is_forgotten)

    def _fixed(self, plan: Plan, random: Random) -> Fixed:
        settings, index, before_ms = self.settings, plan.index, random.randint(5, 30)
        in_pool = not plan.flavor.is_free and random.random() < settings.pool_share
        return Fixed(
            index=index,
            instance_id=instance_id(plan.created_us, before_ms, index, settings.seed),
            created_us=plan.created_us,
            description=random.choice(catalogue.DESCRIPTIONS),
            user=self.users[_low(random, len(self.users))],
            workspace_id=random.choice(self._workspaces),
            ai_project_id=random.choice(self._projects),
            pool=random.choice(catalogue.POOLS) if in_pool else None,
            profile=random.choice(PROFILES_OF[plan.flavor.group]),
            storage=_storage(random, index),
            extend_storage=(_parallel_files(index),) if in_pool and index % 5 == 0 else None,
            extend_params=random.choice(catalogue.REMARKS),
            has_repository=random.random() < settings.repository_share,
            market_seed=None if settings.unchanging else settings.seed,
            swaps_numbers=random.random() < settings.swapped_numbers_share,
        )


def _intervals(life: Life) -> list[Interval]:
    found: list[Interval] = []
    ends: list[int | None] = [*(state.at_us for state in life.states[1:]), None]
    for state, ended_us in zip(life.states, ends, strict=True):
        # An empty status is the end of a life; two states at one instant are one.
        if not state.status or state.at_us == ended_us:
            continue
        last = found[-1] if found else None
        if last and (last.status, last.flavor) == (state.status, state.flavor.name):
            found[-1] = last._replace(ended_us=ended_us)
        else:
            found.append(Interval(state.status, state.flavor.name, state.at_us, ended_us))
    return found


def _hexadecimal(*parts: object) -> str:
    return hashlib.sha256("/".join(map(str, parts)).encode()).hexdigest()[:32]


def _ids(kind: str, count: int) -> list[str]:
    """The ids of all of a kind but the first, which has a name that the service gave it."""
    return [_hexadecimal(kind, number) for number in range(1, count)]


def _user(seed: int, number: int) -> Json:
    names = catalogue.USER_NAMES
    name = names[number % len(names)] + (f"-{number}" if number >= len(names) else "")
    return {"id": _hexadecimal("user", seed, number), "name": name}


def _low(random: Random, count: int) -> int:
    """A number below `count`, more often a low one: some users have many instances."""
    return int(random.random() ** 2 * count)


def _name(random: Random) -> str:
    lot = random.random()
    if lot < 0.04:
        return random.choice(catalogue.HOSTILE_NAMES)
    if lot < 0.12:
        return random.choice(catalogue.CHINESE_NAMES)
    return f"{random.choice(catalogue.PLAIN_WORDS)}-{random.randrange(0x10000):04x}"


def _storage(random: Random, index: int) -> Json:
    lot = random.random()
    if lot < 0.5:
        return {"location": {"path": f"/bucket-{index % 50}/output/"}, "type": "obs"}
    if lot < 0.8:
        size = {"volume_size": random.choice((5, 5, 20, 100, 500)), "volume_unit": "GB"}
        return {"location": {"path": "/home/ma-user/work/", **size}, "type": "evs"}
    if lot < 0.9:
        return {"location": {"volume_size": 50, "volume_unit": "GB"}, "type": "efs"}
    return _parallel_files(index)


def _parallel_files(index: int) -> Json:
    location = {
        "access_modes": "ReadOnlyMany" if index % 2 else "ReadWriteMany",
        "mount_path": "/home/ma-user/work",
        "path": f"/parallel-{index % 9}/data/",
    }
    return {"location": location, "type": "obsfs"}
