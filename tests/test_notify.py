"""Whoever is to be told is told once of what is wrong, again if it is worse or lasts, and when it is over."""

from __future__ import annotations

import json
import shutil
import ssl
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import trustme
from click.testing import CliRunner, Result
from lakes import MIDNIGHT, PRICES, instance
from listeners import MailServer, Webhook
from support import committed, environment_for, one_line

from etl import alarms, notices
from etl.alarms import Alarm
from etl.build import build
from etl.cli import main
from etl.emulator import Answer, Clock, Emulator
from etl.emulator.rows import Documents
from etl.lake import Lake
from etl.message import template_of
from etl.notices import Notice, Told
from etl.settings import Settings

pytestmark = pytest.mark.long

NOW = datetime(2026, 10, 12, 12, tzinfo=UTC)
HOSTILE = "a\r\nBcc: evil@example.com\x1b[31m <!channel> [pay](https://evil.example.com) <b>\u202e"


@pytest.fixture
def webhook() -> Iterator[Webhook]:
    with Webhook() as running:
        yield running


@pytest.fixture
def service() -> Iterator[Emulator]:
    with Emulator(clock=Clock.at(MIDNIGHT), fleet=Documents([instance(1, "RUNNING")])) as running:
        yield running


@pytest.fixture(scope="module")
def hostile_lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """The built lake of an instance with a hostile name, which ran for 30 hours at 10 CNY each."""
    directory = tmp_path_factory.mktemp("hostile")
    flavor = {"flavor": "ascend.2", "flavor_details": {"name": "ascend.2", "type": "ASCEND"}}
    seen = Documents([instance(1, "RUNNING", **flavor) | {"name": HOSTILE}])
    lake = Lake(directory / "lake")
    with Emulator(clock=Clock.at(MIDNIGHT), fleet=seen) as running:
        for hours in (30, 0):
            assert committed(running, lake).verdict == "complete"
            running.clock.advance(hours=hours)
    (directory / "prices.csv").write_text(PRICES, encoding="utf-8")
    build(Settings(tz="UTC", prices=str(directory / "prices.csv")), lake)
    return lake


@pytest.fixture
def own_lake(hostile_lake: Lake, tmp_path: Path) -> Lake:
    return Lake(shutil.copytree(hostile_lake.path, tmp_path / "own"))


def ran(service: Emulator, directory: Path, **others: str) -> Result:
    """`demeter run`, on a day of UTC."""
    environment = environment_for(service, directory / "lake", DEMETER_TZ="UTC", **others)
    return CliRunner().invoke(main, ["-v", "run"], env=environment)


def notify(lake: Lake, *arguments: str, **settings: str) -> Result:
    environment = {f"DEMETER_{name.upper()}": value for name, value in settings.items()}
    return CliRunner().invoke(main, ["--lake", str(lake.path), "notify", *arguments], env=environment)


def by_mail(server: MailServer, **others: str) -> dict[str, str]:
    """The settings of mail by a server."""
    return {
        "mail_server": "127.0.0.1",
        "mail_port": str(server.port),
        "mail_from": "demeter@example.com",
        "mail_to": "li@example.com, wang@example.com",
        **others,
    }


def alarm(level: int, key: str = "forgotten") -> Alarm:
    return Alarm(key, level, "a title")


# What is due.


@pytest.mark.parametrize(
    ("level", "told", "again_hours", "state"),
    [
        (0, None, 24, None),
        (2, None, 24, "new"),
        (2, Told(2, (NOW - timedelta(hours=23)).timestamp()), 24, None),
        (2, Told(2, (NOW - timedelta(hours=24)).timestamp()), 24, "lasting"),
        (2, Told(2, (NOW - timedelta(days=99)).timestamp()), 0, None),
        (3, Told(2, NOW.timestamp()), 24, "worse"),
        (1, Told(2, NOW.timestamp()), 24, None),
        (0, Told(2, NOW.timestamp()), 24, "over"),
    ],
)
def test_what_was_told_is_told_again_when_it_is_worse_or_lasts_or_is_over(
    level: int, told: Told | None, again_hours: float, state: str | None
) -> None:
    known = {"forgotten": told} if told else {}
    expected = [Notice(state, alarm(level))] if state else []
    assert notices.due([alarm(level)], known, NOW, again_hours) == expected


def test_what_was_told_is_known_until_it_is_over() -> None:
    known = {"a": Told(1, 5.0), "b": Told(2, 6.0)}
    got = [Notice("worse", alarm(3, "a")), Notice("over", alarm(0, "b")), Notice("new", alarm(1, "c"))]
    at = NOW.timestamp()
    assert notices.after(known, got, NOW) == {"a": Told(3, at), "c": Told(1, at)}


@pytest.mark.parametrize(
    ("cost", "steps"), [("99.99", 0), ("100", 0), ("100.01", 1), ("109.99", 1), ("110", 2), ("250", 16)]
)
def test_a_budget_is_passed_by_tenths(cost: str, steps: int) -> None:
    assert alarms.steps_over(Decimal(cost), Decimal(100)) == steps


@pytest.mark.parametrize(
    ("kind", "days"),
    [
        ("day", ("2026-12-31", "2027-01-01")),
        ("week", ("2026-12-28", "2027-01-04")),
        ("month", ("2026-12-01", "2027-01-01")),
    ],
)
def test_a_period_holds_its_day(kind: str, days: tuple[str, str]) -> None:
    found = alarms.period_of(date(2026, 12, 31), kind)
    assert (str(found.first), str(found.end)) == days


# Runs.


def test_a_run_that_fails_is_told_once_and_when_it_is_well_again(
    service: Emulator, webhook: Webhook, tmp_path: Path
) -> None:
    environment = {"DEMETER_WEBHOOK_URL": webhook.url}
    assert ran(service, tmp_path, **environment).exit_code == 0
    assert webhook.bodies == []
    key = f"run:{service.project_id}"
    for expected in ([("new", key)], []):
        service.clock.advance(hours=1)
        service.faults.fail_next = [Answer(503, b"")] * 9
        assert ran(service, tmp_path, **environment).exit_code == 6
        service.faults.fail_next = []
        assert webhook.told() == expected
        webhook.bodies.clear()
    service.faults.total_count = 11
    assert ran(service, tmp_path, **environment).exit_code == 3
    service.faults.total_count = None
    assert webhook.told() == []
    refused = ran(service, tmp_path, **environment, DEMETER_TOKEN="no")
    assert (refused.exit_code, webhook.told()) == (5, [("worse", key)])
    webhook.bodies.clear()
    assert ran(service, tmp_path, **environment).exit_code == 0
    [body] = webhook.bodies
    assert body["findings"][0]["title"] == f"the sweep of {service.project_id} is well again"
    assert webhook.told() == [("over", key)]
    assert "Zq9" not in refused.output
    assert set(webhook.paths) == {"/hooks/Zq9secret?key=Zq9key"}


def test_a_webhook_that_fails_is_a_warning_and_is_tried_again_by_the_next_run(
    service: Emulator, webhook: Webhook, tmp_path: Path
) -> None:
    webhook.status, webhook.location = 307, "/elsewhere"
    environment = {"DEMETER_WEBHOOK_URL": webhook.url, "DEMETER_REPORTS": "summary"}
    service.faults.total_count = 11
    first = ran(service, tmp_path, **environment)
    service.faults.total_count = None
    assert first.exit_code == 3
    assert "demeter: the webhook was not told: it answered 307; check webhook_url" in first.stderr
    webhook.status = 200
    service.faults.total_count = 11
    second = ran(service, tmp_path, **environment)
    assert (second.exit_code, len(webhook.bodies)) == (3, 2)
    assert "Zq9" not in first.output + second.output


def test_nobody_at_the_other_end_changes_nothing_of_a_run_that_is_well(
    service: Emulator, tmp_path: Path, own_lake: Lake
) -> None:
    with Webhook() as gone:
        url = gone.url
    result = notify(own_lake, webhook_url=url, notify_forgotten="1")
    assert result.exit_code == 6
    assert "the webhook was not told: 127.0.0.1 did not answer: the connection was refused" in one_line(
        result
    )
    service.clock.advance(hours=31)
    ended = ran(
        service,
        tmp_path,
        DEMETER_LAKE=str(own_lake.path),
        DEMETER_WEBHOOK_URL=url,
        DEMETER_NOTIFY_FORGOTTEN="1",
        DEMETER_PROJECT_ID=service.project_id,
    )
    assert ended.exit_code == 0
    assert "the connection was refused" in ended.stderr
    assert "Zq9" not in result.output + ended.output


def test_every_project_of_a_run_is_told_of_by_its_name(webhook: Webhook, tmp_path: Path) -> None:
    seen = Documents([instance(1)])
    with Emulator(clock=Clock.at(MIDNIGHT), fleets={"a" * 32: seen, "b" * 32: seen}) as service:
        (tmp_path / "token").write_text(service.token_of("b" * 32))
        file = tmp_path / "demeter.toml"
        file.write_text(
            f"lake = '{tmp_path / 'lake'}'\nendpoint = '{service.endpoint}'\nattempts = 1\n"
            f"[projects.one]\nproject_id = '{'a' * 32}'\ntoken_command = 'echo not-a-token'\n"
            f"[projects.two]\nproject_id = '{'b' * 32}'\ntoken_file = '{tmp_path / 'token'}'\n"
        )
        environment = {"DEMETER_WEBHOOK_URL": webhook.url}
        result = CliRunner().invoke(main, ["--settings", str(file), "run"], env=environment)
    assert result.exit_code == 5
    assert webhook.told() == [("new", "run:one")]


def test_what_fails_after_the_sweeps_is_told_and_that_it_works_again(
    service: Emulator, webhook: Webhook, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    environment = {"DEMETER_WEBHOOK_URL": webhook.url, "DEMETER_REPORTS": "inventory_by_status"}
    broken = {**environment, "DEMETER_REPORTS_DIRECTORY": str(tmp_path / "file" / "reports")}
    assert ran(service, tmp_path, **broken).exit_code == 2
    service.clock.advance(hours=1)
    mended = {**environment, "DEMETER_REPORTS_DIRECTORY": str(tmp_path / "reports")}
    assert ran(service, tmp_path, **mended).exit_code == 0
    assert webhook.told() == [("new", "rest"), ("over", "rest")]
    assert "reports_directory" in webhook.bodies[0]["findings"][0]["details"][0]


def test_a_lake_that_cannot_be_written_is_told_of_all_the_same(
    service: Emulator, webhook: Webhook, tmp_path: Path
) -> None:
    (tmp_path / "lake").write_text("not a lake")
    result = ran(service, tmp_path, DEMETER_WEBHOOK_URL=webhook.url)
    assert result.exit_code == 2
    assert "so what is told now may be told again: make it writable" in result.stderr
    assert webhook.told() == [("new", f"run:{service.project_id}")]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"webhook_url": "http://hooks.example.com/Zq9"}, "webhook_url would be sent unencrypted: use https"),
        ({"webhook_url": "hooks.example.com/Zq9"}, "webhook_url is not a URL: copy it again"),
        ({"webhook_url": "https://[Zq9"}, "webhook_url is not a URL: copy it again"),
        ({"mail_to": "li@example.com"}, "no mail_server is set: set DEMETER_MAIL_SERVER or `mail_server` in"),
        (
            {"mail_server": "mail.example.com", "mail_from": "a@b\r\nBcc: c", "mail_to": "a@b"},
            "'a@b\\r\\nBcc: c' is no mail address",
        ),
        (
            {"mail_server": "mail.example.com", "mail_from": "a@b", "mail_to": "a@b", "mail_user": "li"},
            "no mail_password is set: set DEMETER_MAIL_PASSWORD or `mail_password_file` in demeter.toml",
        ),
        (
            {"mail_server": "m.example.com", "mail_from": "a@b", "mail_to": "a@b", "mail_security": "none"},
            "mail_security is none, and mail would be sent unencrypted",
        ),
        (
            {"mail_security": "ssl"},
            "the environment sets mail_security to 'ssl', which is not one of starttls",
        ),
        ({"webhook_url": "https://x.example.com", "notify_template": "/no/file"}, "notify_template /no/file"),
    ],
)
def test_what_cannot_be_used_is_refused_before_the_sweep(
    settings: dict[str, str], said: str, service: Emulator, tmp_path: Path
) -> None:
    given = {f"DEMETER_{name.upper()}": value for name, value in settings.items()}
    environment = environment_for(service, tmp_path / "lake", **given)
    result = CliRunner().invoke(main, ["run"], env=environment)
    assert (result.exit_code, one_line(result)[: len(said)]) == (2, said)
    assert "Zq9" not in result.output
    assert not (tmp_path / "lake").exists()


# What the lake says.


def test_forgotten_instances_and_a_passed_budget_are_told_once(own_lake: Lake, webhook: Webhook) -> None:
    settings = {"webhook_url": webhook.url, "notify_forgotten": "1", "budget": "200"}
    told = notify(own_lake, **settings)
    assert told.exit_code == 0, told.output
    [body] = webhook.bodies
    assert [(each["key"], each["state"], each["level"], each["title"]) for each in body["findings"]] == [
        ("forgotten", "new", 1, "1 instance has been running for more than 24 hours"),
        # 300 CNY are half as much again: the first passing, and five tenths.
        (
            "budget",
            "new",
            6,
            "the budget of 200 CNY for 2026-10-01 to 2026-10-31 is passed: 300.00 CNY so far",
        ),
    ]
    again = notify(own_lake, **settings)
    assert (again.stdout, len(webhook.bodies)) == ("told 0 findings by webhook\n", 1)
    assert notify(own_lake, **settings | {"notify_again_hours": "1e-9"}).exit_code == 0
    assert webhook.told()[2:] == [("lasting", "forgotten"), ("lasting", "budget")]
    assert notify(own_lake, **settings | {"budget": "1000"}).exit_code == 0
    assert webhook.told()[4:] == [("over", "budget")]
    kept = json.loads((own_lake.path / "notified.json").read_text())
    assert {channel: list(told) for channel, told in kept.items()} == {"webhook": ["forgotten"]}


@pytest.mark.parametrize(("count", "told"), [("1", True), ("2", False), ("0", False)])
def test_fewer_forgotten_instances_than_the_setting_are_not_told(
    count: str, told: bool, own_lake: Lake, webhook: Webhook
) -> None:
    assert notify(own_lake, webhook_url=webhook.url, notify_forgotten=count).exit_code == 0
    assert webhook.told() == ([("new", "forgotten")] if told else [])


@pytest.mark.parametrize(("period", "cost"), [("day", "60.00"), ("week", "300.00"), ("month", "300.00")])
def test_a_budget_is_of_a_period(period: str, cost: str, own_lake: Lake, webhook: Webhook) -> None:
    assert notify(own_lake, webhook_url=webhook.url, budget="1", budget_period=period).exit_code == 0
    assert webhook.bodies[0]["findings"][0]["title"].endswith(f" is passed: {cost} CNY so far")


def test_a_check_that_fails_is_told_and_when_it_holds_again(own_lake: Lake, webhook: Webhook) -> None:
    rows = own_lake.delta("instances").to_pyarrow_table()
    before = own_lake.delta("instances").version()
    own_lake.append("instances", rows.slice(0, 1))
    assert notify(own_lake, webhook_url=webhook.url).exit_code == 0
    assert ("new", "check:a_sweep_has_one_row_a_key") in webhook.told()
    own_lake.delta("instances").restore(before)
    webhook.bodies.clear()
    assert notify(own_lake, webhook_url=webhook.url).exit_code == 0
    assert ("over", "check:a_sweep_has_one_row_a_key") in webhook.told()


def test_a_memory_that_cannot_be_read_tells_again(own_lake: Lake, webhook: Webhook) -> None:
    (own_lake.path / "notified.json").write_text('{"webhook": [')
    result = notify(own_lake, webhook_url=webhook.url, notify_forgotten="1")
    assert (result.exit_code, webhook.told()) == (0, [("new", "forgotten")])
    assert "notified.json cannot be read" in result.stderr


def test_a_name_that_is_hostile_stays_data(own_lake: Lake, webhook: Webhook) -> None:
    with MailServer() as server:
        settings = by_mail(server, webhook_url=webhook.url, notify_forgotten="1", mail_security="none")
        assert notify(own_lake, **settings).exit_code == 0
    [body] = webhook.bodies
    assert HOSTILE in body["findings"][0]["details"][0]
    assert "evil" not in body["text"] + body["headline"]
    [mail] = server.delivered
    assert (mail.sender, mail.recipients) == ("demeter@example.com", ["li@example.com", "wang@example.com"])
    assert {name for name in mail.letter if name.lower() == "bcc"} == set()
    assert mail.letter.get_content_type() == "text/plain"
    text = mail.text
    assert "a\\r\\nBcc: evil@example.com\\x1b[31m <!channel>" in text
    assert not set("\x1b\u202e") & set(text)


def test_a_subject_is_one_line_whatever_the_template_holds(own_lake: Lake, tmp_path: Path) -> None:
    template = tmp_path / "template.txt"
    template.write_text("  Lake $lake: $headline\x0b\x1b[0m ☃\nFor $$5:\n$findings\n", encoding="utf-8")
    with MailServer() as server:
        settings = by_mail(server, mail_security="none", notify_forgotten="1", notify_template=str(template))
        assert notify(own_lake, **settings).exit_code == 0
    letter = server.delivered[0].letter
    assert (
        letter["Subject"]
        == (
            f"Lake {own_lake.path}: NEW: 1 instance has been running for more than 24 hours\\x0b\\x1b[0m ☃"[
                :150
            ]
        )
    )
    assert server.delivered[0].text.startswith("For $5:\nNEW: 1 instance has been")
    assert letter["Auto-Submitted"] == "auto-generated"


@pytest.mark.parametrize("text", ["$headline $finding", "it costs 5$", "${headline"])
def test_a_template_with_a_placeholder_that_is_none_is_refused(
    text: str, own_lake: Lake, tmp_path: Path
) -> None:
    file = tmp_path / "template.txt"
    file.write_text(text)
    result = notify(own_lake, webhook_url="https://hooks.example.com/x", notify_template=str(file))
    assert result.exit_code == 2
    assert "has a placeholder that is none: there are $headline, $findings" in one_line(result)


def test_the_template_that_comes_with_demeter_uses_every_placeholder() -> None:
    assert set(template_of("").get_identifiers()) == {"headline", "findings", "lake", "host", "at", "version"}


# Mail.


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def bundle(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> str:
    file = tmp_path_factory.mktemp("authority") / "ca.pem"
    authority.cert_pem.write_to_path(str(file))
    return str(file)


@pytest.fixture(scope="module")
def tls(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return context


@pytest.mark.parametrize("security", ["starttls", "tls"])
def test_mail_goes_over_tls_and_is_signed_in_for(
    security: str, tls: ssl.SSLContext, bundle: str, own_lake: Lake, tmp_path: Path
) -> None:
    (tmp_path / "password").write_text("s3cret\n")
    with MailServer(tls, at_once=security == "tls", password="s3cret") as server:
        settings = by_mail(server, mail_security=security, mail_user="demeter", ca_bundle=bundle)
        result = notify(own_lake, "--test", **settings, mail_password_file=str(tmp_path / "password"))
        wrong = notify(own_lake, "--test", **settings, mail_password="wrong-one")
    assert (result.exit_code, result.stdout) == (0, "sent a test by mail\n")
    [mail] = server.delivered
    assert (mail.is_encrypted, mail.user) == (True, "demeter")
    assert mail.letter["Subject"] == "[demeter] TEST: this is a test"
    assert wrong.exit_code == 6
    assert one_line(wrong).startswith("mail was not sent: the server answered 535; check mail_")
    assert "wrong-one" not in wrong.output


@pytest.mark.parametrize("kind", ["no STARTTLS", "a foreign certificate", "refused", "nobody"])
def test_mail_that_cannot_be_sent_as_it_should_is_not_sent(
    kind: str, tls: ssl.SSLContext, own_lake: Lake
) -> None:
    made: dict[str, Any] = {
        "no STARTTLS": {},
        "a foreign certificate": {"tls": tls},
        "refused": {"refuses": 550},
        "nobody": {},
    }
    with MailServer(**made[kind]) as server:
        settings = by_mail(server, mail_security="none" if kind == "refused" else "starttls")
        if kind != "nobody":
            result = notify(own_lake, "--test", **settings)
    if kind == "nobody":
        result = notify(own_lake, "--test", **settings)
    assert (result.exit_code, server.delivered) == (6, [])
    # The server, in a thread of this process, may have a word to say about the certificate as well.
    assert [line for line in result.stderr.splitlines() if line.startswith("demeter: mail was not sent: ")]


# The command.


def test_a_dry_run_says_what_would_be_told_and_tells_nobody(own_lake: Lake, webhook: Webhook) -> None:
    for _ in range(2):
        result = notify(own_lake, "--dry-run", webhook_url=webhook.url, notify_forgotten="1")
        assert (result.exit_code, result.stdout.splitlines()) == (
            0,
            [
                "would tell 1 findings by webhook",
                "  NEW: 1 instance has been running for more than 24 hours",
            ],
        )
    assert webhook.bodies == []
    assert not (own_lake.path / "notified.json").exists()


def test_without_anybody_to_tell_it_says_what_to_set(own_lake: Lake) -> None:
    result = notify(own_lake)
    assert result.exit_code == 2
    assert one_line(result).startswith("nobody is to be told: set DEMETER_WEBHOOK_URL, or mail_server")
