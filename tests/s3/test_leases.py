"""Locks in an object store: one holder at a time, who keeps it alive, and a dead one's ends by itself."""

from __future__ import annotations

import json
import threading
import time

import pytest
from conftest import ObjectStore, keys

from etl import leases
from etl.errors import LakeBusy
from etl.lake import Lake
from etl.leases import Lease
from etl.objects import Objects

LOCK = "locks/build.lock"


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> float:
    """Leases that end soon."""
    monkeypatch.setattr(leases, "SECONDS", 2.0)
    return leases.SECONDS + leases.MARGIN_SECONDS


def dead(url: str, name: str = "build") -> Lease:
    """A lease whose holder stands still, or is no more: it is not renewed."""
    lease = Lease(Objects(url), name)
    assert lease.take() is None
    lease._over.set()
    lease._renewal.join()
    return lease


def test_one_holds_a_lock_and_the_other_is_told_who_does(url: str) -> None:
    one, other = Lake(url), Lake(url)
    with one.lock("build"):
        assert other.is_held("build")
        with (
            pytest.raises(
                LakeBusy, match=r"another run holds build of this lake \(process \d+ of .+\): wait"
            ),
            other.lock("build"),
        ):
            pass
        with other.lock("house"):
            assert not other.is_held("sweep-a")
    assert not other.is_held("build")
    with other.lock("build"):
        assert one.is_held("build")


def test_of_many_who_ask_at_once_one_holds_it_at_a_time(url: str) -> None:
    inside, most, done = 0, 0, 0
    counting = threading.Lock()

    def hold() -> None:
        nonlocal inside, most, done
        with Lake(url).lock("build", wait=True):
            with counting:
                inside += 1
                most = max(most, inside)
            time.sleep(0.05)
            with counting:
                inside, done = inside - 1, done + 1

    threads = [threading.Thread(target=hold) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (most, done) == (1, 6)


def test_a_lock_is_waited_for_as_long_as_one_is_told(url: str) -> None:
    one, other = Lake(url), Lake(url)
    began = time.monotonic()
    with one.lock("build"), pytest.raises(LakeBusy), other.lock("build", seconds=1.0):
        pass
    assert time.monotonic() - began >= 1.0


def test_a_lease_is_kept_alive_for_longer_than_it_lasts(short: float, url: str) -> None:
    one, other = Lake(url), Lake(url)
    with one.lock("build"):
        time.sleep(short + 1.5)
        assert other.is_held("build")
        one.store.fence()


def test_the_lease_of_a_dead_run_ends_by_itself_and_not_before(short: float, url: str) -> None:
    dead(url)
    began = time.monotonic()
    with Lake(url).lock("build", wait=True):
        assert time.monotonic() - began > leases.SECONDS - 1
        assert time.monotonic() - began < short + 3


def test_who_lost_a_lock_must_not_write_any_more_nor_give_it_back(short: float, url: str) -> None:
    slow = dead(url)
    with Lake(url).lock("build", wait=True):
        with pytest.raises(LakeBusy, match="this run lost build of this lake to another"):
            slow.renew()
        slow.release()
        held = leases.holder(Objects(url).stamped(LOCK))
        assert held
        assert held.run != slow._holder.run


def test_a_lock_that_was_taken_over_is_noticed_though_the_clock_of_this_machine_stood_still(
    short: float, url: str
) -> None:
    slow = dead(url)
    with Lake(url).lock("build", wait=True):
        slow._until = leases._now() + 60
        with pytest.raises(LakeBusy, match="this run lost build"):
            slow.renew()


def test_a_lease_that_was_renewed_meanwhile_is_not_taken_over(url: str) -> None:
    lease = dead(url)
    known = leases.seen(Objects(url), "build")
    assert known
    lease.renew()
    assert Objects(url).put_if(LOCK, known.tag, b"mine") is None
    assert json.loads(Objects(url).get(LOCK)[0])["renewals"] == 1


def test_a_lock_whose_object_says_nothing_is_free(url: str) -> None:
    Objects(url).put(LOCK, b"?")
    with Lake(url).lock("build"):
        assert Lake(url).is_held("build")


def test_a_lease_outlives_a_store_that_is_away_for_a_moment(
    url: str, object_store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "SECONDS", 8.0)
    lake = Lake(url)
    with lake.lock("build"):
        object_store.tell("down")
        time.sleep(2.5)
        object_store.tell("up")
        time.sleep(2.5)
        lake.store.fence()
    assert keys(url) == [LOCK]
