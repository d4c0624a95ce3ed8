"""Documents of the successor API in the form of the reference, which all that follows reads.

What stands where is data, in correspondence.csv. What has no place in the form is noted beside it, to become
`extras`, or `quarantine` where it is not of the kind that it should be.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import Any, NamedTuple

import orjson

from etl.apis import MEANINGS
from etl.columns import joined
from etl.correspondence import STORAGE, VOLUME, VOLUMES, fields

Write = Callable[[Any], str]
Document = dict[str, Any]

DEDICATED = "USER_DEFINED"  # what the reference calls the only pools that the successor names
SAFE_DIGITS = 18


class Note(NamedTuple):
    """A value that has no place in the form: where it stood, as JSON, and what is wrong with it, if any."""

    path: str
    value: str
    fault: str = ""


class Number(str):
    """A number as it was written, where Python would write it otherwise."""


class Pairs(list[tuple[str, Any]]):
    """An object in which a key comes twice."""


class _Place(NamedTuple):
    """Where the value of a field goes, and what it becomes; without a target it goes beside the form."""

    target: tuple[str, ...]
    kind: str


class Translator:
    """Puts notebooks into the form of the reference, with the terms of the flavors that it was told of."""

    def __init__(self) -> None:
        self._terms: dict[str, tuple[Document, list[Note]]] = {}

    def clear(self) -> None:
        """Forget the flavors."""
        self._terms.clear()

    def learn(self, flavors: Iterable[Any], write: Write) -> None:
        """Take the terms of flavors; those that come later count."""
        for each in flavors:
            if type(each) is dict and type(name := each.get("id")) is str:
                self._terms[name] = _terms(each, write)

    def translated(self, notebook: Any, write: Write) -> tuple[Any, list[Note]]:
        """A notebook in the form of the reference, and what has no place in it; what is no object stays."""
        notes: list[Note] = []
        if type(notebook) is not dict:
            return notebook, notes
        document: Document = {}
        _Walk(document, notes, write).take(notebook, _places("notebook"), "")
        _add_lease(document, notebook, notes, write)
        _add_user(document, notebook.get("user_id"), notes, write)
        if type(pool := document.get("pool")) is dict and "id" in pool:
            pool["type"] = DEDICATED
        flavor = document.get("flavor")
        if type(flavor) is str and flavor in self._terms:
            document["flavor_details"], more = self._terms[flavor]
            notes += more
        elif type(flavor) is str and notebook.get("feature") == "DEFAULT":
            document["flavor_details"] = {"name": flavor, "promo_type": "Free"}
        return document, notes


class _Walk:
    """One pass over the values of an object, each put where it belongs."""

    def __init__(self, document: Document, notes: list[Note], write: Write) -> None:
        self.document, self.notes, self.write = document, notes, write

    def take(self, value: Document, places: Mapping[str, Any], path: str) -> None:
        """Put the values of an object into the form."""
        for key, inner in value.items():
            if inner is None or inner == "":
                continue
            place = places.get(key)
            if place is None:
                self.notes.append(Note(joined(path, key), self.write(inner)))
            elif type(place) is _Place:
                self._put(place, inner, f"{path}.{key}" if path else key)
            elif type(inner) is dict:
                self.take(inner, place, f"{path}.{key}" if path else key)
            else:
                self.notes.append(Note(joined(path, key), self.write(inner), "not an object"))

    def _put(self, place: _Place, value: Any, path: str) -> None:
        if place.kind == "extra":
            if value not in ([], {}):
                self.notes.append(Note(path, self.write(value)))
        elif place.kind == "image":
            _set(self.document, ("profile", "labels", "swr_path"), value)
            if type(value) is str:
                _set(self.document, place.target, _image(value))
        elif place.kind == "volumes":
            _set(self.document, place.target, self._volumes(value))
        elif place.kind != "read":
            _set(self.document, place.target, _CONVERTED[place.kind](value))

    def _volumes(self, value: Any) -> Any:
        """The volumes of a list, each in the form; what is no list or no object stays as it is."""
        if type(value) is not list:
            return value
        found: list[Any] = []
        for number, each in enumerate(value):
            if type(each) is dict:
                volume: Document = {}
                _Walk(volume, self.notes, self.write).take(each, _places(VOLUME), f"{VOLUMES}.{number}")
                found.append(volume)
            else:
                found.append(each)
        return found


def parsed(text: str, rows: str) -> list[Any]:
    """The documents in the text of a page, with every number and every key as it was written."""
    decoder = json.JSONDecoder(object_pairs_hook=_object, parse_float=Number, parse_int=_whole, strict=False)
    page = decoder.decode(text)
    found = dict(page).get(rows) if isinstance(page, Pairs) else page.get(rows)
    return found if type(found) is list else []


def written(value: Any) -> str:
    """What `parsed` gave as JSON again."""
    if isinstance(value, Number):
        return str(value)
    if isinstance(value, (dict, Pairs)):
        pairs = value.items() if isinstance(value, dict) else value
        return "{" + ",".join(f"{_quoted(key)}:{written(each)}" for key, each in pairs) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(written, value)) + "]"
    return _quoted(value)


def compact(value: Any) -> str:
    """A value of a page that is read without loss as JSON."""
    return orjson.dumps(value).decode()


@cache
def _places(name: str) -> Mapping[str, Any]:
    """The places of the fields of a list, or of a volume by itself, as a tree of their keys."""
    tree: dict[str, Any] = {}
    for each in fields():
        path, target = each.path, each.target
        if name == VOLUME:
            if not path.startswith(f"{VOLUME}."):
                continue
            path, target = path[len(VOLUME) + 1 :], target[len(STORAGE) + 1 :]
        elif each.list != name:
            continue
        *parents, last = path.split(".")
        inner = tree
        for parent in parents:
            inner = inner.setdefault(parent, {})
        inner[last] = _Place(tuple(target.split(".")) if target else (), each.kind)
    return tree


def _terms(flavor: Document, write: Write) -> tuple[Document, list[Note]]:
    """The terms of a flavor as details in the form; what the form does not foresee is a parameter."""
    details: Document = {}
    notes: list[Note] = []
    _Walk(details, notes, write).take(flavor, _places("flavor"), "")
    for note in notes:
        if not note.fault:
            plain = note.value.startswith('"') or note.value in ("true", "false")
            value = orjson.loads(note.value) if plain else note.value
            _set(details, ("params", note.path), value)
    return details, [Note(f"flavors.{each.path}", each.value, each.fault) for each in notes if each.fault]


def _add_lease(document: Document, notebook: Document, notes: list[Note], write: Write) -> None:
    """Say when an instance was created and modified where the lease alone tells, and when it will be stopped.

    A lease runs from its beginning, which may be the creation, whenever the present run began.
    """
    lease = notebook.get("lease")
    if type(lease) is not dict:
        return
    for name, key in (("update_at", "latest_update_timestamp"), ("create_at", "creation_timestamp")):
        own = lease.get(name)
        if own is None or own == "":
            continue
        is_told = name == "create_at" and _add_stop(document, notebook, lease)
        if str(document.setdefault(key, own)) != str(own) and not is_told:
            notes.append(Note(f"lease.{name}", write(own)))


def _add_stop(document: Document, notebook: Document, lease: Document) -> bool:
    """Say when an instance that runs will be stopped; whether its lease tells that."""
    began, length = (_milliseconds(lease.get(name)) for name in ("create_at", "duration"))
    status, kind = notebook.get("status"), lease.get("type")
    runs = type(status) is str and MEANINGS.get(status, status) == "RUNNING"
    timed = not kind or (type(kind) is str and kind.upper() == "TIMING")
    if not (runs and timed and lease.get("enable") is True) or began is None or length is None:
        return False
    auto_stop = document["spec"]["auto_stop"]
    auto_stop["stop_timestamp"] = began + length
    now = _milliseconds(notebook.get("current_time"))
    if now is not None:
        auto_stop["remain_time"] = max(0, began + length - now) // 1000
    return True


def _add_user(document: Document, user_id: Any, notes: list[Note], write: Write) -> None:
    """Say whose an instance is where its user is told by id alone."""
    if user_id is None or user_id == "":
        return
    user = document.setdefault("user", {})
    if user.setdefault("id", user_id) != user_id:
        notes.append(Note("user_id", write(user_id)))


def _set(document: Document, path: tuple[str, ...], value: Any) -> None:
    """Put a value at a path, whose objects are made where they are missing."""
    for name in path[:-1]:
        document = document.setdefault(name, {})
    document[path[-1]] = value


def _milliseconds(value: Any) -> int | None:
    """A whole number, or the text of one; None where it is neither."""
    if type(value) is int:
        return value
    plain = type(value) is str and value.isascii() and value.isdigit() and len(value) <= SAFE_DIGITS
    return int(value) if plain else None


def _seconds(value: Any) -> Any:
    number = _milliseconds(value)
    return value if number is None else number // 1000


def _kibibytes(value: Any) -> Any:
    number = _milliseconds(value)
    return value if number is None else f"{number}KiB"


def _lower(value: Any) -> Any:
    if type(value) is list:
        return [_lower(each) for each in value]
    return value.lower() if type(value) is str else value


def _one_of(yes: str, no: str) -> Callable[[Any], Any]:
    """What reads true or false as one of two words; anything else stays."""
    return lambda value: (yes if value else no) if type(value) is bool else value


_CONVERTED: dict[str, Callable[[Any], Any]] = {
    "same": lambda value: value,
    "seconds": _seconds,
    "kib": _kibibytes,
    "lower": _lower,
    "sale": _one_of("soldOut", "onSale"),
    "promo": _one_of("Free", "NoDiscount"),
}


def _image(address: str) -> Document:
    """The namespace, name and tag in the address of an image: registry/namespace/name:tag."""
    *before, last = address.split("/")
    name, _, tag = last.partition(":")
    told = {"namespace": before[-1] if before else "", "image_name": name, "image_tag": tag}
    return {key: value for key, value in told.items() if value}


def _object(pairs: list[tuple[str, Any]]) -> Any:
    found = dict(pairs)
    return found if len(found) == len(pairs) else Pairs(pairs)


def _whole(text: str) -> Any:
    return int(text) if len(text) <= SAFE_DIGITS and text != "-0" else Number(text)


def _quoted(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
