"""Persons are known by pseudonyms where that is wanted."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import Result
from hypothesis import given
from hypothesis import strategies as st
from support import Row, document, environment_for, one_line, rows_of, run, views_of
from test_secrets import in_files, in_output

from etl.emulator import Emulator
from etl.lake import Lake
from etl.pseudonyms import change_persons, hide_persons, pseudonym

KEY = "a key that nobody guesses"
PERSONS = {
    "id": "04f258c8fb00d42a1f65aaaaaaaaaaaa",
    "name": "Annabel-Qz王",
    "mail": "annabel.qz@example.com",
    "repository": "annabel_qz_git",
    "odd": "Qz-odd-person",
    "unknown": "+86-10-5550-7741",
}
USER = {"id": PERSONS["id"], "name": PERSONS["name"]}
DOCUMENTS: list[Row | bytes] = [
    document(1, user=USER, name="user", spec={"annotations": {"a": 'the "user": {"id": 1}'}}),
    document(2, user=USER | {"phone": PERSONS["unknown"]}, rate=1.50),
    document(
        3,
        user={"id": "u-2", "name": PERSONS["name"]},
        repository={"id": "r", "user_name": PERSONS["repository"], "user_email": PERSONS["mail"]},
    ),
    document(4, user=PERSONS["odd"]),
    json.dumps(document(5, user="USER"))
    .encode()
    .replace(
        b'"user": "USER"',
        b'"\\u0075ser": {"\\u0069d": "%s", "name": "Annabel-Qz\\u738b"}' % PERSONS["id"].encode(),
    ),
]


@pytest.fixture(scope="module")
def pseudonymous(tmp_path_factory: pytest.TempPathFactory) -> tuple[Lake, list[Result]]:
    """A lake of persons behind pseudonyms, after a sweep and one that was cut short."""
    lake = tmp_path_factory.mktemp("persons") / "lake"
    with Emulator.of_documents(DOCUMENTS) as service:
        environment = environment_for(service, lake, DEMETER_PSEUDONYM_KEY=KEY)
        results = [run(environment, "-v")]
        body = json.dumps({"instances": [{"user": USER}]})[:-2].encode()
        service.faults.fail_at_request = dict.fromkeys(range(1, 90), answer(body))
        results.append(run(environment, "-v"))
    assert [result.exit_code for result in results] == [0, 6], results[0].output
    return Lake(lake), results


def answer(body: bytes) -> object:
    from etl.emulator.answers import Answer

    return Answer(200, body)


def test_no_person_is_in_any_file_or_output_where_a_key_is_set(
    pseudonymous: tuple[Lake, list[Result]],
) -> None:
    lake, results = pseudonymous
    secrets = PERSONS | {"escaped": "Annabel-Qz", "key": KEY}
    assert in_files(lake.path, secrets) == []
    assert [in_output(result, secrets) for result in results] == [[], []]


def test_a_person_has_one_pseudonym_wherever_it_stands(pseudonymous: tuple[Lake, list[Result]]) -> None:
    lake, _ = pseudonymous
    hidden = {name: pseudonym(KEY, value) for name, value in PERSONS.items()}
    found = views_of(lake, "users", "repositories", "instances")
    assert {(row["user_id"], row["user_name"]) for row in found["users"]} == {
        (hidden["id"], hidden["name"]),
        (pseudonym(KEY, "u-2"), hidden["name"]),
    }
    (repository,) = found["repositories"]
    assert (repository["user_name"], repository["user_email"]) == (hidden["repository"], hidden["mail"])
    assert [row["user_id"] for row in found["instances"]].count(hidden["id"]) == 3


def test_what_is_no_person_stays_as_it_came(pseudonymous: tuple[Lake, list[Result]]) -> None:
    lake, _ = pseudonymous
    assert {row["name"] for row in rows_of(lake, "instances")} == {
        "user",
        *(f"notebook-{n}" for n in (2, 3, 4, 5)),
    }
    assert [row["value"] for row in rows_of(lake, "extras") if row["path"] == "rate"] == ["1.5"]
    (annotation,) = (row for row in rows_of(lake, "attributes") if row["map"] == "annotations")
    assert annotation["value"] == 'the "user": {"id": 1}'


TEXTS = st.text(max_size=8)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXTS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["id", "a", "user", "user_name"]) | TEXTS, inner, max_size=3)
    ),
    max_leaves=12,
)


def without_persons(value: object) -> object:
    """A value with every text and number of a person changed, as one who reads the JSON does it."""
    if isinstance(value, dict):
        return {
            key: changed(each) if key in ("user", "user_name", "user_email") else without_persons(each)
            for key, each in value.items()
        }
    return [without_persons(each) for each in value] if isinstance(value, list) else value


def changed(value: object) -> object:
    if isinstance(value, dict):
        return {key: changed(each) for key, each in value.items()}
    if isinstance(value, list):
        return [changed(each) for each in value]
    return value if value is None or isinstance(value, bool) else f"<{value}>"


@given(JSON, st.booleans())
def test_every_person_of_any_json_is_changed_and_nothing_else(value: object, ascii_only: bool) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only)
    assert json.loads(change_persons(text, lambda said: f"<{said}>")) == without_persons(value)


def test_a_pseudonym_stays_what_it_is() -> None:
    once = hide_persons('{"user": {"id": "ann", "name": ""}}', KEY)
    assert hide_persons(once, KEY) == once
    assert pseudonym(KEY, "ann") != pseudonym(KEY + "!", "ann")


def test_a_key_that_could_be_guessed_is_refused(tmp_path: Path) -> None:
    with Emulator.of_documents(DOCUMENTS) as service:
        result = run(environment_for(service, tmp_path / "lake", DEMETER_PSEUDONYM_KEY="short"))
    assert result.exit_code == 2
    assert "short enough to be guessed" in one_line(result)
