"""The successor API of the same instances: what each says there, and the flavors with their terms."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from etl.emulator.catalogue import FLAVORS, Flavor
from etl.emulator.parameters import NotebookQuery, Query
from etl.emulator.rows import Row, fields_of

Json = Mapping[str, Any]

# The successor has no queue, no restarts, no resizing: what it shows instead.
STATUSES = {
    "CREATE_QUEUING": "INIT",
    "START_QUEUING": "STOPPED",
    "READY_TO_START": "STOPPED",
    "RESTARTING": "STARTING",
    "RESIZING": "STOPPED",
    "RESIZE_FAILED": "STOPPED",
    "UNAVAILABLE": "ERROR",
}
KIBIBYTES = {"GiB": 1024**2, "MiB": 1024}
DOMAIN: Json = {"id": "0d1e2f3a4b5c4d6e8f901a2b3c4d5e6f", "name": "emulated-domain"}
REGISTRY = "swr.region-1.example.com"
SIZE = re.compile(r"(\d+)(GiB|MiB)")


def chosen(rows: Sequence[Row], query: NotebookQuery, now_us: int) -> list[Row]:
    """The rows that are of the feature and in the status that are asked for."""
    return [
        row
        for row in rows
        if query.status in (None, status_of(row.status))
        and _feature(fields_of(row.body(now_us))) == query.feature
    ]


def status_of(status: str | None) -> str | None:
    """What the successor calls a status."""
    return STATUSES.get(status, status) if status else status


def body(row: Row, now_us: int) -> bytes:
    """The row as the successor shows it; what is given in its form already stays as it is."""
    given = row.body(now_us)
    fields = fields_of(given)
    if not fields or ("creation_timestamp" not in fields and ({"create_at", "lease"} & fields.keys())):
        return given
    return orjson.dumps(document(fields, now_us // 1000), option=orjson.OPT_SORT_KEYS)


def page(rows: list[Row], total: int, query: Query, now_us: int) -> tuple[list[bytes], Json]:
    """The rows of a page as JSON, and what the page says of itself beside its total."""
    size = query.limit
    told = {"current": query.offset // size, "pages": -(-total // size), "size": size}
    return [body(row, now_us) for row in rows], told


def flavors() -> list[bytes]:
    """The flavors on offer as JSON."""
    return [orjson.dumps(_flavor(each), option=orjson.OPT_SORT_KEYS) for each in FLAVORS]


def document(fields: Json, now_ms: int) -> dict[str, Any]:
    """What the successor says of an instance whose document the listing of the reference has."""
    status = status_of(fields.get("status"))
    told = {
        "billing_items": ["ALL" if status == "RUNNING" else "STORAGE"],
        "create_at": _whole(fields.get("creation_timestamp")),
        "current_time": now_ms,
        "description": fields.get("description"),
        "feature": _feature(fields),
        "flavor": fields.get("flavor"),
        "id": fields.get("id"),
        "lease": _lease(fields),
        "name": fields.get("name"),
        "status": status,
        "update_at": _whole(fields.get("latest_update_timestamp")),
        **_image(fields),
        **_belongings(fields),
        **_storage(fields.get("spec") or {}),
    }
    return {name: value for name, value in told.items() if value is not None}


def _feature(fields: Json) -> str:
    """DEFAULT for what runs on a free flavor."""
    details = fields.get("flavor_details")
    is_free = isinstance(details, Mapping) and details.get("promo_type") == "Free"
    return str(fields.get("feature") or ("DEFAULT" if is_free else "NOTEBOOK"))


def _lease(fields: Json) -> Json | None:
    """The lease, which is counted from the creation in milliseconds."""
    told = (fields.get("spec") or {}).get("auto_stop")
    if not told:
        return None
    created = _whole(fields.get("creation_timestamp")) or 0
    lease = {"create_at": created, "enable": bool(told.get("enable")), "type": "TIMING"}
    lease["update_at"] = _whole(fields.get("latest_update_timestamp"))
    if told.get("stop_timestamp"):
        lease["duration"] = int(told["stop_timestamp"]) - created
    elif told.get("duration"):
        lease["duration"] = int(told["duration"]) * 1000
    return lease


def _image(fields: Json) -> Json:
    profile = fields.get("profile") or {}
    params = profile.get("provision", {}).get("spec", {}).get("params", {})
    if not params:
        return {}
    path = f"{REGISTRY}/{params['namespace']}/{params['image_name']}:{params['image_tag']}"
    arch = "aarch64" if profile.get("flavor_type") == "Ascend" else "x86_64"
    named = {"id": profile["id"], "name": profile["name"], "swr_path": path}
    return {"image": {**named, "arch": arch, "type": "BUILD_IN"}}


def _belongings(fields: Json) -> Json:
    """Whose the instance is, where it is, and the ways in."""
    found: dict[str, Any] = {}
    if user := fields.get("user"):
        found |= {"user": {**user, "domain": DOMAIN}, "user_id": user["id"]}
        found["token"] = f"PLANTED-notebook-{fields['id']}"
        found["url"] = f"https://authoring-modelarts.example.com/{fields['id']}?token={found['token']}"
    if workspace := fields.get("workspace"):
        found["workspace_id"] = workspace["id"]
    pool = fields.get("pool")
    if pool and pool.get("type") == "USER_DEFINED":
        found["pool"] = {"id": pool["id"], "name": pool["name"]}
    return found


def _storage(spec: Json) -> Json:
    found: dict[str, Any] = {}
    if storage := spec.get("storage"):
        found["volume"] = _volume(storage)
    if more := spec.get("extend_storage"):
        found["data_volumes"] = [_volume(each) for each in more]
    if failed := spec.get("failed_reasons"):
        found["fail_reason"] = failed["message"]
    return found


def _volume(storage: Json) -> Json:
    location = storage.get("location") or {}
    told = {
        "capacity": location.get("volume_size"),
        "category": storage["type"].upper(),
        "mount_path": location.get("mount_path") or "/home/ma-user/work/",
        "ownership": "MANAGED",
        "uri": location.get("path"),
    }
    return {name: value for name, value in told.items() if value is not None}


def _flavor(flavor: Flavor) -> Json:
    """A flavor, with what an hour of it is billed as."""
    details = flavor.details
    params = details["params"]
    told = {
        "arch": "aarch64" if flavor.group == "npu" else "x86_64",
        "billing": {
            "code": details.get("billing_flavor") or flavor.name,
            "unit_num": details.get("billing_params", 1),
        },
        "category": details["type"].upper(),
        "feature": "DEFAULT" if flavor.is_free else "NOTEBOOK",
        "free": flavor.is_free,
        "id": flavor.name,
        "memory": _kibibytes(params["memory"]),
        "sold_out": details["status"] == "soldOut",
        "storages": [each.upper() for each in details["storage_list"]],
        "vcpus": int(params["CPU"]),
    }
    if "NPU" in params:
        told["ascend"] = {"npu": params["NPU"], **_card(params, "npu_memory")}
    elif "GPU" in params:
        told["gpu"] = {"gpu": params["GPU"], **_card(params, "gpu_memory")}
    return told


def _card(params: Json, memory: str) -> Json:
    return {memory: params["graphics_memory"], "type": params["type"]}


def _kibibytes(size: str) -> int:
    found = SIZE.fullmatch(size)
    return int(found[1]) * KIBIBYTES[found[2]] if found else 0


def _whole(value: Any) -> int | None:
    return int(value) if str(value or "").isdecimal() else None
