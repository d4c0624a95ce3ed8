"""What every test stands on: nothing but loopback, and none of the settings of who runs it."""

from __future__ import annotations

import ipaddress
import os
import socket
from collections.abc import Iterator
from typing import Any

import lakes
import pytest
from hypothesis import settings

from etl.lake import Lake

# How fast a shared machine happens to be is no property of the code. The examples are the same in every
# run, so that a test fails for what was changed; `--hypothesis-profile search` looks for new ones.
settings.register_profile("search", deadline=None, print_blob=True)
settings.register_profile("demeter", deadline=None, derandomize=True)
settings.load_profile("demeter")


def is_loopback(host: str) -> bool:
    """Tell whether a host, by name or by address, is this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@pytest.fixture(autouse=True, scope="session")
def only_loopback() -> Iterator[None]:
    """Fail a test that connects to another machine, by an error that no retry can swallow."""
    connect = socket.socket.connect

    def connect_on_loopback(self: socket.socket, address: Any) -> None:
        if self.family in (socket.AF_INET, socket.AF_INET6) and not is_loopback(address[0]):
            pytest.fail(f"a test connects to {address[0]}: only loopback is there")
        connect(self, address)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", connect_on_loopback)
        yield


@pytest.fixture(autouse=True, scope="session")
def no_settings_from_outside() -> Iterator[None]:
    """Take away the settings and the proxies of the environment that runs the tests."""
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.startswith("DEMETER_") or name.lower().endswith("_proxy"):
                patch.delenv(name)
        yield


@pytest.fixture(scope="session")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """A lake of a fleet that moved; tests only read it."""
    return lakes.of_fleet(tmp_path_factory.mktemp("fleet") / "lake")


@pytest.fixture(scope="session")
def small_lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """A lake of eight instances, each of its own kind; tests only read it."""
    return lakes.of_documents(tmp_path_factory.mktemp("documents") / "lake")


@pytest.fixture(scope="session")
def built_lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """A lake of two projects with all marts, most of it priced; tests only read it."""
    return lakes.of_lives(tmp_path_factory.mktemp("lives"))
