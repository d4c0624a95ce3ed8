"""The emulated service as tests, the demo and the command line hold it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from importlib.resources import files
from typing import Any, Self

import orjson

from etl.emulator.answers import Answer
from etl.emulator.billing import Billing
from etl.emulator.clock import Clock
from etl.emulator.faults import Faults
from etl.emulator.listing import Listing
from etl.emulator.rows import Document, Documents, Listable
from etl.emulator.server import Server
from etl.emulator.service import Requests, Service
from etl.emulator.signatures import AccessKey, Signatures
from etl.emulator.tokens import Account, Tokens

PROJECT_ID = "5f0a1c2b3d4e4f60a1b2c3d4e5f60718"
SAMPLE_OBSERVED_AT = "2021-03-02T07:15:02.697Z"
PASSWORD = "emulated-password"
AK, SK = "EMULATEDACCESSKEY001", "emulated-secret-key-of-forty-characters-"


class Emulator:
    """A listing service on a port of its own while its `with` block lasts."""

    def __init__(
        self,
        fleet: Listable | None = None,
        clock: Clock | None = None,
        faults: Faults | None = None,
        *,
        fleets: Mapping[str, Listable] | None = None,
        password: str = PASSWORD,
        domain: str = "emulated-domain",
        sk: str = SK,
        security_token: str = "",
        token_seconds: float = 86_400,
        compresses: bool = False,
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        named = fleets or {PROJECT_ID: fleet or Documents(())}
        clock = clock or Clock.at(next(iter(named.values())).starts_at)
        sources = {key: given.source() for key, given in named.items()}
        caller = next(iter(sources.values())).caller
        names = {_project_name(number): key for number, key in enumerate(sources)}
        account = Account(caller.name, caller.user_id or "0" * 32, password, domain, names)
        tokens = Tokens(account, clock, token_seconds)
        signatures = Signatures(AccessKey(AK, sk, security_token), clock)
        listings = {key: Listing(source) for key, source in sources.items()}
        self._service = Service(listings, tokens, signatures, clock, faults or Faults())
        self._address = (host, port, compresses)
        self._server: Server | None = None

    @classmethod
    def of_documents(
        cls,
        documents: Iterable[Document],
        clock: Clock | None = None,
        **settings: Any,
    ) -> Self:
        """A service that lists exactly these documents; those given as bytes byte for byte."""
        return cls(Documents(documents), clock, **settings)

    @classmethod
    def of_sample(cls, clock: Clock | None = None, **settings: Any) -> Self:
        """A service that lists the sample response of the reference, at the instant it shows."""
        body = (files(__package__) / "sample_response.json").read_bytes()
        documents = Documents(orjson.loads(body)["instances"], SAMPLE_OBSERVED_AT, verbatim=body)
        return cls(documents, clock, **settings)

    def __enter__(self) -> Self:
        self._server = Server(*self._address[:2], self._service.answer, self._address[2])
        self._server.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Serve no more; what it received stays readable."""
        if self._server is not None:
            self._server.stop()
            self._server = None

    def wait(self) -> None:
        """Return when the service has stopped, or at an interrupt from the keyboard."""
        if self._server is not None:
            with suppress(KeyboardInterrupt):
                self._server.stopping.wait()

    @property
    def endpoint(self) -> str:
        """The URL that the service answers at, for the listing and for tokens."""
        if self._server is None:
            raise RuntimeError("the service answers only inside its with block")
        return self._server.endpoint

    @property
    def clock(self) -> Clock:
        """The clock of the service: its Date header, and the instant of its rows."""
        return self._service.clock

    @property
    def faults(self) -> Faults:
        """What goes wrong now."""
        return self._service.faults

    @faults.setter
    def faults(self, faults: Faults) -> None:
        self._service.faults = faults

    @property
    def faults_of(self) -> dict[str, Faults]:
        """What goes wrong with a project alone, by its id, in the place of `faults`."""
        return self._service.faults_of

    @property
    def billing(self) -> Billing:
        """What the billing service says of prices."""
        return self._service.billing

    @property
    def requests(self) -> Requests:
        """The requests received since it started, or since they were cleared."""
        return self._service.requests

    @property
    def project_ids(self) -> list[str]:
        """The projects that it serves."""
        return list(self._service.listings)

    @property
    def project_id(self) -> str:
        """The first of its projects."""
        return self.project_ids[0]

    @property
    def project_name(self) -> str:
        """The name of the first project, as the scope of a token has it."""
        return _project_name(0)

    @property
    def user(self) -> str:
        """The user whom tokens are issued to, and whose own instances `show_self` means."""
        return self._service.tokens.account.user

    @property
    def password(self) -> str:
        """The password of the user."""
        return self._service.tokens.account.password

    @property
    def domain(self) -> str:
        """The domain (account) of the user."""
        return self._service.tokens.account.domain

    @property
    def token(self) -> str:
        """A token that is good now for the first project."""
        return self.token_of(self.project_id)

    def token_of(self, project_id: str) -> str:
        """A token that is good now for a project."""
        return self._service.tokens.current(project_id, self.faults.expire_token_after)

    @property
    def access_key(self) -> AccessKey:
        """The key that requests may be signed with instead."""
        return self._service.signatures.key

    @property
    def connection_count(self) -> int:
        """How many connections were made to it since it was started."""
        return self._server.connection_count if self._server else 0

    def expire_tokens(self) -> None:
        """Make every token that was issued so far expire."""
        self._service.tokens.expire_all()

    @property
    def planted_secrets(self) -> Sequence[str]:
        """Every made-up credential that its documents hold."""
        sources = [listing.source for listing in self._service.listings.values()]
        return [secret for source in sources for secret in source.planted_secrets]

    def documents_of(self, project_id: str) -> list[bytes]:
        """The documents of a project now, in no particular order."""
        return self._service.documents(project_id)

    @property
    def documents(self) -> list[bytes]:
        """The documents of the first project now, in no particular order."""
        return self._service.documents(self.project_id)

    @documents.setter
    def documents(self, documents: Iterable[Document]) -> None:
        self._service.replace_source(self.project_id, Documents(documents))

    def answer_with(
        self,
        body: bytes,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
        path: str = "",
    ) -> None:
        """Answer every listing request that its token allows with this, until told otherwise.

        A `path` is the end of those that it is for; the last that is told for a path counts.
        """
        self._service.overrides.pop(path, None)
        self._service.overrides[path] = Answer(status, body, headers or {})

    def answer_normally(self) -> None:
        """List again after `answer_with`."""
        self._service.overrides.clear()

    def ids_throughout(self) -> set[str]:
        """The ids in every state of the first listing since the requests were last cleared."""
        return self._service.ids_throughout(self.project_id)


def run(
    host: str,
    port: int,
    fleet: Listable,
    clock: Clock | None = None,
    faults: Faults | None = None,
    ready: Callable[[Emulator], None] | None = None,
) -> None:
    """Serve until interrupted; `ready` is given the service once requests are answered."""
    with Emulator(fleet, clock, faults, host=host, port=port) as service:
        if ready is not None:
            ready(service)
        service.wait()


def _project_name(number: int) -> str:
    return "region-1" if number == 0 else f"region-1_project-{number}"
