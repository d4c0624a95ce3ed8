"""Which field of the successor API stands where in a document of the reference: correspondence.csv."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

VOLUMES, VOLUME, STORAGE = "data_volumes", "volume", "spec.storage"


class Field(NamedTuple):
    """A field of the successor, and where it stands in the form of the reference, if anywhere."""

    list: str
    path: str
    target: str
    kind: str
    meaning: str


@cache
def fields() -> tuple[Field, ...]:
    """Every field of the successor that is known."""
    with Path(__file__).with_name("correspondence.csv").open(newline="", encoding="utf-8") as file:
        return tuple(Field(**_renamed(row)) for row in csv.DictReader(file))


@cache
def beside() -> frozenset[str]:
    """The paths of the fields that are known and have no column, with [] in the place of a number."""
    own = [each.path for each in fields() if each.kind in ("extra", "read")]
    volumes = [f"{VOLUMES}[]{path.removeprefix(VOLUME)}" for path in own if path.startswith(f"{VOLUME}.")]
    return frozenset((*own, *volumes))


@cache
def fields_of(target: str) -> tuple[str, ...]:
    """The fields of the successor that a field of the reference is made from."""
    return tuple(each for each in _own_fields(target))


def own_path(path: str) -> str:
    """Where that which stands at a path of the form stood in the successor's document."""
    if path.startswith("spec.extend_storage."):
        number, _, rest = path.removeprefix("spec.extend_storage.").partition(".")
        inner = own_path(f"{STORAGE}.{rest}").removeprefix(VOLUME) if rest else ""
        return f"{VOLUMES}.{number}{inner}"
    own = [each for each in fields_of(path) if each]
    if own:
        return own[0]
    within = [each for each in fields() if each.list == "notebook" and each.target.startswith(f"{path}.")]
    return within[0].path.partition(".")[0] if within else path


def _own_fields(target: str) -> Iterator[str]:
    part, _, inside = target.partition(".")
    for each in fields():
        if each.list == "flavor" and part == "flavor_details" and each.target == inside:
            yield f"flavors.{each.path}"
        elif each.list == "notebook" and each.target and _covers(each, target):
            yield each.path


def _covers(field: Field, target: str) -> bool:
    """Whether a field goes to a target, or is spread over it and others."""
    return field.target == target or (field.kind == "image" and target.startswith(f"{field.target}."))


def _renamed(row: dict[str, str]) -> dict[str, str]:
    return {"path" if name == "field" else name: value for name, value in row.items()}
