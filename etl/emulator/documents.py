"""An instance at an instant as the JSON document that the listing has of it (Tables 4 to 22)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from random import Random
from typing import Any

import orjson

from etl.emulator.catalogue import Failure, Flavor
from etl.emulator.states import MINUTE, SECOND, State

MARKET_PERIOD_US = 10 * MINUTE
Json = Mapping[str, Any]

# Stands where the remaining time goes, so that a document can be kept while that time runs out.
REMAINING = 4_242_424_242_424_242


@dataclass(frozen=True, slots=True)
class Fixed:
    """What never changes about an instance."""

    index: int
    instance_id: str
    created_us: int
    description: str | None
    user: Json
    workspace_id: str
    ai_project_id: str
    pool: Json | None
    profile: Json
    storage: Json
    extend_storage: tuple[Json, ...] | None
    extend_params: Json | None
    has_repository: bool
    market_seed: int | None  # None where what is for sale never changes.
    swaps_numbers: bool = False


def serialized(fixed: Fixed, state: State, now_us: int) -> bytes:
    """The document as JSON."""
    return orjson.dumps(document(fixed, state, now_us), option=orjson.OPT_SORT_KEYS)


def document(fixed: Fixed, state: State, now_us: int, remain: int | None = None) -> dict[str, Any]:
    """The document; `remain` is said to remain until the automatic stop, if it is given."""
    told = {
        "ai_project": {"id": fixed.ai_project_id},
        "creation_timestamp": str(fixed.created_us // 1000),
        "flavor": state.flavor.name,
        "flavor_details": _flavor_details(fixed, state.flavor, now_us),
        "id": fixed.instance_id,
        # What was written a moment late is never written in the future.
        "latest_update_timestamp": str(min(state.updated_us, now_us) // 1000),
        "name": state.name,
        "profile": fixed.profile,
        "spec": _spec(fixed, state, now_us, remain),
        "status": state.status,
        "user": fixed.user,
        "workspace": {"id": fixed.workspace_id},
        **_optional(fixed, state, now_us),
    }
    return _swapped(told) if fixed.swaps_numbers else told


def market_period(fixed: Fixed, state: State, now_us: int) -> int:
    """A number that changes when what is for sale of the flavor does."""
    moves = state.flavor.is_free and fixed.market_seed is not None
    return now_us // MARKET_PERIOD_US if moves else 0


def secrets(fixed: Fixed) -> list[str]:
    """The made-up credentials in the documents of an instance."""
    if not fixed.has_repository:
        return []
    kinds = ("password", "access-key", "secret-key", "ssh-key" if _by_ssh(fixed) else "oauth")
    found = [_secret(fixed, kind) for kind in kinds]
    return found if _by_ssh(fixed) else [*found, _secret(fixed, "userinfo")]


def _swapped(document: dict[str, Any]) -> dict[str, Any]:
    """The document with text for its numbers, and numbers for its timestamps that were text."""
    for name in ("creation_timestamp", "latest_update_timestamp"):
        document[name] = int(document[name])
    auto_stop = document["spec"]["auto_stop"]
    # The time that remains is left alone: it is filled in later.
    for name in auto_stop.keys() & {"duration", "stop_timestamp"}:
        auto_stop[name] = str(auto_stop[name])
    if "billing_params" in document["flavor_details"]:
        details = document["flavor_details"]
        document["flavor_details"] = {**details, "billing_params": str(details["billing_params"])}
    return document


def _optional(fixed: Fixed, state: State, now_us: int) -> dict[str, Any]:
    """The keys that are absent where there is nothing to say."""
    found: dict[str, Any] = {}
    if fixed.description is not None:
        found["description"] = fixed.description
    if fixed.pool is not None:
        found["pool"] = fixed.pool
    if state.failure is not None:
        found["error_code"] = state.failure.code
    if state.queue_end_us is not None:
        found["queuing_info"] = _queuing(fixed, state, state.queue_end_us, now_us)
    if fixed.has_repository:
        found["repository"] = _repository(fixed)
    elif fixed.index % 3 == 0:
        found["repository"] = None
    return found


def _flavor_details(fixed: Fixed, flavor: Flavor, now_us: int) -> Json:
    if not flavor.is_free:
        return flavor.details
    period = 0 if fixed.market_seed is None else now_us // MARKET_PERIOD_US
    return _for_sale(flavor, fixed.market_seed or 0, period)


@lru_cache(maxsize=256)
def _for_sale(flavor: Flavor, seed: int, period: int) -> Json:
    random = Random(f"{seed}/{flavor.name}/{period}")
    waiting = max(0, random.randint(-6, 12))
    if not waiting:
        return flavor.details
    queue = {"queuing_num": waiting, "queue_left_time": 137 * waiting}
    return {**flavor.details, "status": "soldOut", **queue}


def _spec(fixed: Fixed, state: State, now_us: int, remain: int | None) -> dict[str, Any]:
    failure = state.failure
    spec = {
        "annotations": _annotations(fixed, state),
        "auto_stop": _auto_stop(state, now_us, remain),
        "extend_params": _extend_params(fixed),
        "extend_storage": fixed.extend_storage,
        "failed_reasons": None if failure is None else _failed_reasons(failure),
        "storage": fixed.storage,
    }
    if fixed.has_repository:
        spec["credential"] = {
            "access_key": _secret(fixed, "access-key"),
            "secret_key": _secret(fixed, "secret-key"),
        }
    return spec


def _failed_reasons(failure: Failure) -> dict[str, Any]:
    detail = {} if failure.detail is None else {"detail": failure.detail}
    return {"code": failure.code, "message": failure.message, **detail}


def _annotations(fixed: Fixed, state: State) -> dict[str, str]:
    path = f"modelarts/internal/hub/notebook/user/{fixed.instance_id}"
    url = f"https://10.176.46.12:32000/{path}" if state.status == "RUNNING" else ""
    return {"target_domain": "https://notebook-modelarts.example.com", "url": url}


def _auto_stop(state: State, now_us: int, remain: int | None) -> dict[str, Any]:
    if not state.auto_stop_seconds:
        return {"enable": False, "prompt": True}
    said = {"duration": state.auto_stop_seconds, "enable": True, "prompt": True}
    if state.stop_us is None:
        return said
    left = remaining_seconds(state.stop_us, now_us) if remain is None else remain
    return {**said, "remain_time": left, "stop_timestamp": state.stop_us // 1000}


def remaining_seconds(end_us: int, now_us: int) -> int:
    """Whole seconds until an instant; 0 when it is past."""
    return max(0, end_us - now_us) // SECOND


def _extend_params(fixed: Fixed) -> Json | None:
    if not fixed.has_repository:
        return fixed.extend_params
    return {**(fixed.extend_params or {}), "db_password": _secret(fixed, "password")}


def _queuing(fixed: Fixed, state: State, end_us: int, now_us: int) -> dict[str, Any]:
    left = remaining_seconds(end_us, now_us)
    return {
        "begin_timestamp": state.at_us // 1000,
        "de_type": "Notebook",
        "end_timestamp": end_us // 1000,
        "flavor": state.flavor.name,
        "flavor_details": _flavor_details(fixed, state.flavor, now_us),
        "id": fixed.instance_id,
        "name": state.name,
        "rank": 1 + left // 137,
        "remain_time": left,
        "status": state.status,
    }


def _by_ssh(fixed: Fixed) -> bool:
    return fixed.index % 2 == 0


def _secret(fixed: Fixed, kind: str) -> str:
    return f"PLANTED-{kind}-{fixed.instance_id[-36:-28]}-{fixed.index}"


def _repository(fixed: Fixed) -> dict[str, Any]:
    path = f"team/{fixed.workspace_id}-{fixed.index % 7}.git"
    if _by_ssh(fixed):
        url, credential = f"git@github.com:{path}", {"ssh_private_key": _secret(fixed, "ssh-key")}
    else:
        url = f"https://ann:{_secret(fixed, 'userinfo')}@github.com/{path}"
        credential = {"access_token": _secret(fixed, "oauth")}
    return {
        "branch": "main",
        "connection_info": {
            "credential": credential,
            "protocol": "ssh" if _by_ssh(fixed) else "https",
            "url": url,
        },
        "id": f"repository-{fixed.index % 40}",
        "type": "GitHub" if fixed.index % 4 else "CodeClub",
        "user_email": f"{fixed.user['name']}@example.com",
        "user_name": fixed.user["name"],
    }
