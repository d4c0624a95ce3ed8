"""No credential passes, nothing else changes, and no page is too long or too odd."""

from __future__ import annotations

import json
import multiprocessing
import resource
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etl.redaction import redact, redact_text

PEM = "-----BEGIN RSA PRIVATE KEY-----\nMIIEow+/x==\n-----END RSA PRIVATE KEY-----"
SECRET = "hunter2Zq"
SECRET_KEYS = [
    "password", "adminPass_Word", "passwd", "db-pwd", "passphrase", "client_secret", "SecretKey",
    "access_token", "accessToken", "X-Auth-Token", "credential", "ssh_private_key", "private-key",
    "AccessKey", "api_key", "apikey", "session_key", "Authorization", "Set-Cookie", "signature",
    "ak", "sk", "SK", "pass", "auth", "jwt", "\u4e2d\u6587 token",
]  # fmt: skip
# Keys of the reference's tables, and others that only resemble a secret's name.
ORDINARY_KEYS = [
    "id", "name", "status", "user_name", "user_email", "annotations", "prompt", "key", "branch",
    "protocol", "connection_info", "url", "description", "creation_timestamp", "access_modes",
    "tokenizer", "monkey", "disk", "task", "passed", "author", "public_key", "billing_params",
]  # fmt: skip


def redacted(text: str) -> str:
    return redact(text.encode("utf-8", "surrogatepass")).decode("utf-8", "surrogatepass")


def page_of(value: Any) -> bytes:
    return json.dumps(value).encode()


# What a key says


@pytest.mark.parametrize("key", SECRET_KEYS)
def test_the_value_of_a_key_that_names_a_secret_is_replaced(key):
    page = page_of({"a": 1, key: SECRET, "z": [2]})
    assert json.loads(redact(page)) == {"a": 1, key: "[redacted]", "z": [2]}


@pytest.mark.parametrize("key", ORDINARY_KEYS)
def test_the_value_of_an_ordinary_key_stays(key):
    page = page_of({key: "value", "n": {key: [1, {key: None}]}})
    assert redact(page) == page


def test_the_sample_of_the_reference_has_no_credential_and_stays_as_it_is():
    page = page_of(
        {
            "annotations": {"url": "https://10.176.46.12:32000/modelarts/hub/user/DE-a970f5d4"},
            "user": {"id": "f3779708b547462dbca12a70555d0690", "name": "modelarts_manage_admin"},
            "storage": {"location": {"path": "/aaaaaaaaa/output/"}, "type": "obs"},
        }
    )
    assert redact(page) == page


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("7", '"[redacted]"'),
        ("-1.5e300", '"[redacted]"'),
        ("true", '"[redacted]"'),
        ("null", "null"),
        ('""', '""'),
        (r'"a\"b\\"', '"[redacted]"'),
        ("{}", "{}"),
        ('{"a": "b", "c": [1, null]}', '{"a": "[redacted]", "c": ["[redacted]", null]}'),
        ('["]", "}", "{"]', '["[redacted]", "[redacted]", "[redacted]"]'),
    ],
)  # fmt: skip
def test_a_value_tells_no_more_than_its_shape(value, expected):
    assert redacted(f'{{"token" :\n {value} , "after": 1}}') == (f'{{"token" :\n {expected} , "after": 1}}')


def test_a_credential_loses_its_values_and_keeps_its_keys():
    page = '{"credential": {"ssh_private_key": "k", "access_token": "t"}, "url": "u"}'
    assert redacted(page) == (
        '{"credential": {"ssh_private_key": "[redacted]", "access_token": "[redacted]"}, "url": "u"}'
    )


def test_all_else_stays_to_the_byte():
    around = '{"n": 123456789012345678901234567890, "n": 1.10, "e": 1E400, "\\u4e2d" : "\\/\\t" ,'
    assert redacted(around + '"token":"x"}') == around + '"token":"[redacted]"}'


def test_an_escape_does_not_hide_a_key_and_an_escaped_backslash_is_no_escape():
    assert redacted(r'{"t\u006F\u006ben": "x", "p": "C:\\u0041"}') == (
        r'{"token": "[redacted]", "p": "C:\\u0041"}'
    )


def test_an_escape_that_is_needed_stays():
    page = r'{"a": "\u0022\u005c\u0001\u4e2d\ud83d\ude00", "b": "\u0041"}'
    assert redacted(page) == page.replace(r"\u0041", "A")


# What a text says

PLACES = [
    lambda text: {"x": text},
    lambda text: [1, [text], 2],
    lambda text: {"x": json.dumps({"y": text})},
    lambda text: {"x": json.dumps({"y": json.dumps([text])}), "n": text},
    lambda text: {text: ""},
    lambda text: {"credential": {text: {"x": ""}}},
]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("see https://joe:pw@host/a", "see https://[redacted]@host/a"),
        ("https://tok3n@host", "https://[redacted]@host"),
        ("ssh://git@host:22/x", "ssh://[redacted]@host:22/x"),
        ("https://u:p@ss@host/x@1.0", "https://[redacted]@host/x@1.0"),
        ("https://u:p/a?s#s@host/x@1.0", "https://[redacted]@host/x@1.0"),
        ("https://proxy/https://u:p@host", "https://proxy/https://[redacted]@host"),
        ("https://h/?a=1&token=abc&b=2", "https://h/?a=1&token=[redacted]&b=2"),
        ("https://h/?X-Amz-Signature=a%2F#x", "https://h/?X-Amz-Signature=[redacted]#x"),
        ("https://h/?sig=a&amp;access_token=b c", "https://h/?sig=[redacted]&amp;access_token=[redacted] c"),
        ("https://h/?next=https%3A%2F%2Fh%3Ftoken%3Dabc%26b", "https://h/?next=https%3A%2F%2Fh%3Ftoken%3D[redacted]%26b"),
        ("login with password='a b' failed", "login with password=[redacted] failed"),
        (f"key: {PEM} end", "key: [redacted] end"),
        ("-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNz", "[redacted]"),
        ("sent Authorization: Bearer xyz", "sent Authorization: [redacted]"),
        ("Proxy-Authorization: Basic YTpi\nHost: h", "Proxy-Authorization: [redacted]\nHost: h"),
        ("Set-Cookie: a=b; c=d\nHost: h", "Set-Cookie: [redacted]\nHost: h"),
        ("used Bearer eyJhbGciOi.x.y here", "used Bearer [redacted] here"),
        ("used Basic dXNlcjpwYXNz here", "used Basic [redacted] here"),
        ("X-Auth-Token: MIIabc\nHost: h", "X-Auth-Token: [redacted]\nHost: h"),
        ("<Token>abc</Token><Name>n</Name>", "<Token>[redacted]</Token><Name>n</Name>"),
        ("{'password': 'x', 'token': None}", "{'password': '[redacted]', 'token': None}"),
        ('got {"error_msg": "no", "token": "x"}', 'got {"error_msg": "no", "token": "[redacted]"}'),
    ],
)  # fmt: skip
def test_a_credential_in_a_text_is_replaced_in_a_message_and_inside_json(text, expected):
    assert redact_text(text) == expected
    for place in PLACES:
        assert json.loads(redact(page_of(place(text)))) == place(expected)


@pytest.mark.parametrize(
    "text",
    [
        "joe@example.com",
        "git@github.com:org/repo.git",
        "https://host:8080/a@b and https://host?email=joe@example.com",
        "https://[::1]:80/@scope/package",
        "Basic Authentication, a bearer of news, the secret of tokens",
        "a == token == b",
        "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----",
        "-----BEGIN PUBLIC KEY-----\nMIIB\n-----END PUBLIC KEY-----",
    ],
)
def test_a_text_without_a_credential_stays(text):
    assert redact_text(text) == text
    assert redact(page_of({"x": text, "y": json.dumps([text])})) == page_of(
        {"x": text, "y": json.dumps([text])}
    )


def test_a_url_with_escaped_slashes_keeps_them():
    assert redacted(r'{"u": "https:\/\/u:p@h\/x?token=ab\/cd&a=1"}') == (
        r'{"u": "https:\/\/[redacted]@h\/x?token=[redacted]&a=1"}'
    )


@pytest.mark.parametrize("levels", [1, 2, 3, 4, 5])
def test_json_inside_of_strings_is_read_as_json(levels):
    document: Any = {"password": f'a"{SECRET}\\', "n": 1}
    expected: Any = {"password": "[redacted]", "n": 1}
    for _ in range(levels):
        document, expected = {"x": json.dumps(document)}, {"x": json.dumps(expected)}
    assert json.loads(redact(page_of(document))) == expected


@pytest.mark.parametrize(
    "text",
    [
        r'{"x": "{\"pass\\u0077ord\": \"hunter2Zq\"}"}',
        r'{"x": "{\u0022password\u0022: \u0022hunter2Zq\u0022}"}',
        r'{"x": "{\"x\": \"{\\\"\\\\u0070assword\\\": \\\"hunter2Zq\\\"}\"}"}',
        r'{"x": "{\"\u005cu0070assword\": \"hunter2Zq\"}"}',
        r'{"x": "\n{\n \"password\" :\n \"hunter2Zq\"\n}"}',
        r'{"x": "{\"sk\": \"hunter2Zq\"}"}',
    ],
)
def test_no_spelling_hides_a_key_inside_of_a_string(text):
    assert SECRET not in redacted(text)
    assert SECRET in text
    json.loads(redacted(text))


def test_json_deeper_in_strings_than_any_service_goes_is_masked_whole():
    document: Any = {"password": SECRET}
    for _ in range(11):
        document = {"x": json.dumps(document)}
    assert SECRET not in redacted(page_of(document).decode())


def test_a_tower_of_escapes_does_not_exhaust_the_stack():
    tower = b'{"x": "\\u005c' + b"u005c" * 100_000 + b'u0022token"}'
    assert redact(redact(tower)) == redact(tower)


# Pages that are cut short, or no JSON


@pytest.mark.parametrize(
    ("page", "expected"),
    [
        ('{"a": 1, "token": "hun', '{"a": 1, "token": "[redacted]'),
        ('{"token": "hun\\', '{"token": "[redacted]'),
        ('{"token": 12', '{"token": "[redacted]"'),
        ('{"credential": {"k": "v", "l": "hun', '{"credential": {"k": "[redacted]", "l": "[redacted]'),
        ('{"x": "{\\"token\\": \\"hun', '{"x": "{\\"token\\": \\"[redacted]'),
        ('{"x": "-----BEGIN PRIVATE KEY-----\\nMII', '{"x": "[redacted]'),
        ('{"token":', '{"token":'),
        ('{"token', '{"token'),
        ("<h1>502</h1><a href='https://u:p@h'>x</a>", "<h1>502</h1><a href='https://[redacted]@h'>x</a>"),
        ('<a href="/?token=abc">x</a>', '<a href="/?token=[redacted]">x</a>'),
    ],
)  # fmt: skip
def test_what_is_cut_short_or_no_json_is_redacted_too(page, expected):
    assert redacted(page) == expected


# Universal claims

WORDS = st.text(max_size=8) | st.sampled_from(
    ["@", "://", '"', "\\", "\\u0041", "https://h:80/a@b", "a=b", "secret", "é\ud83d", "'", "\n"]
)
LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | WORDS
DOCUMENTS = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(ORDINARY_KEYS) | WORDS, inner, max_size=3)
        | inner.map(json.dumps)
    ),
    max_leaves=8,
)
STEPS = st.lists(st.sampled_from(["list", "object", "text"]), max_size=4)
# Without what would make the name itself a text with a credential in it, and no "tokenizer".
AFFIXES = st.text(st.characters(exclude_characters="=:@<>'%iI", codec="utf-8"), max_size=8)
NAMES = st.builds(
    lambda before, key, after, upper: before + (key.upper() if upper else key) + after,
    AFFIXES,
    st.sampled_from([key for key in SECRET_KEYS if len(key) > 4 and key.isascii()]),
    AFFIXES,
    st.booleans(),
)


def respelled(text: str, draw: st.DrawFn) -> str:
    """Spell some characters of the keys and values of a JSON text as escapes."""
    share = draw(st.sampled_from([0, 3, 1]))
    if not share:
        return text
    return "".join(
        f"\\u{ord(letter):04x}" if letter.isalnum() and index % share == 0 else letter
        for index, letter in enumerate(text)
    )


@st.composite
def plantings(draw: st.DrawFn) -> tuple[str, str]:
    """Draw a page with a secret somewhere in it, and what is to come out."""
    name = draw(NAMES)
    rest = draw(st.dictionaries(st.sampled_from(ORDINARY_KEYS), LEAVES.filter(is_plain), max_size=2))
    planted: Any = draw(st.sampled_from([SECRET, [SECRET], {"k": {"l": SECRET}}]))
    masked = json.loads(json.dumps(planted).replace(SECRET, "[redacted]"))
    before, after = {**rest, name: planted}, {**rest, name: masked}
    for step in draw(STEPS):
        if step == "list":
            before, after = [1, before], [1, after]
        elif step == "object":
            before, after = {"name": before, "n": None}, {"name": after, "n": None}
        else:
            before = {"t": json.dumps(before, indent=draw(st.sampled_from([None, 1])))}
            after = {"t": json.dumps(after)}
    return json.dumps(before), json.dumps(after)


def is_plain(value: Any) -> bool:
    return not isinstance(value, str) or value.isalnum()


def opened(value: Any) -> Any:
    """Return a document with the JSON in its strings parsed, so that spelling does not count."""
    if isinstance(value, str) and value[:1] in ("{", "["):
        try:
            return opened(json.loads(value))
        except ValueError:
            return value
    if isinstance(value, list):
        return [opened(item) for item in value]
    if isinstance(value, dict):
        return {key: opened(item) for key, item in value.items()}
    return value


@given(plantings(), st.data())
def test_a_planted_secret_never_survives_and_all_around_it_does(planting, data):
    before, after = planting
    strings = json.JSONDecoder()
    spelled, position = "", 0
    while (quote := before.find('"', position)) >= 0:
        _, end = strings.raw_decode(before, quote)
        inside = before[quote + 1 : end - 1]
        spelled += before[position : quote + 1]
        spelled += (inside if "\\" in inside else respelled(inside, data.draw)) + '"'
        position = end
    clean = redacted(spelled + before[position:])
    assert SECRET not in clean
    assert opened(json.loads(clean)) == opened(json.loads(after))


@given(plantings(), st.data())
def test_a_planted_secret_does_not_survive_where_a_page_is_cut(planting, data):
    before, _ = planting
    clean = redacted(before[: data.draw(st.integers(0, len(before)))])
    assert SECRET[:4] not in clean
    assert redacted(clean) == clean


@given(DOCUMENTS, st.booleans(), st.sampled_from([None, 2]))
def test_a_page_comes_out_as_json_and_a_second_time_changes_nothing(document, ascii_only, indent):
    page = json.dumps(document, ensure_ascii=ascii_only, indent=indent)
    clean = redacted(page)
    json.loads(clean)
    assert redacted(clean) == clean


@given(st.binary() | st.lists(st.sampled_from(
    [b'"', b"\\", b"{", b"[", b"}", b":", b"token", b"@", b"://", b"=", b"\\u00", b"\xff", b"'", b"<"]
)).map(b"".join))  # fmt: skip
def test_no_bytes_make_it_fail(page):
    redact(page)


@given(st.text())
def test_no_text_makes_it_fail(text):
    redact_text(text + " token=x " + text)


# Work


def test_the_matcher_for_long_pages_finds_what_the_one_for_short_pages_finds():
    filler = ", ".join(f'"n{number}": "\xff\\u00e9 value"' for number in range(2_000))
    start = '{"PassWord": "x", "u": "https://u:p@h", "\\u0073k": "x", '
    page = (start + filler + "}").encode("latin-1")
    assert redact(page) == redact((start + "}").encode())[:-1] + filler.encode("latin-1") + b"}"


HOSTILE = [
    b"\\", b'"', b'\\"', b"@", b"://", b"://a:b", b"token", b"token=", b'"token":', b'"token":{',
    b"-----BEGIN PRIVATE KEY", b"authorization: ", b"bearer ", b"\\u0041", b"\\u005cu0022",
    b"\\\\u0074", b"<token", b"'token", b"\ntoken: ", b'"@"', b'\\"token\\":', b"-", b" ",
]  # fmt: skip


def work_through_hostile_pages() -> None:
    """Redact pages made to be slow, within a processor time that no quadratic step would keep to."""
    resource.setrlimit(resource.RLIMIT_CPU, (40, 40))
    for unit in HOSTILE:
        redact(b'{"x":"token @ = : \' > ---- %3 \\u0041\\" ' + unit * (100_000 // len(unit)))


def test_no_page_takes_more_than_linear_work():
    worker = multiprocessing.get_context("spawn").Process(target=work_through_hostile_pages)
    worker.start()
    worker.join()
    assert worker.exitcode == 0


def test_a_short_message_does_not_load_arrow():
    code = (
        "import sys; from etl.redaction import redact_text; redact_text('token=x');"
        "sys.exit('pyarrow' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0  # noqa: S603
