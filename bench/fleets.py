"""The fleets that the meter is measured on, and the sweeps that see them."""

from __future__ import annotations

from dataclasses import replace
from random import Random

from bench.relations import Sweep
from etl.emulator import Fleet, FleetSettings
from etl.emulator.states import DAY, MINUTE

USUAL = FleetSettings(instances=300, days=7)

# Runs last 3 h in the mean. Some are minutes long, some never end, many are cut off by auto-stop.
PROTOTYPE = replace(
    USUAL,
    mean_run_hours=8.3,
    free_share=0.0,
    failure_share=0.0,
    auto_stop_renewal_share=0.0,
    rename_share=0.0,
    resize_share=0.0,
    restart_share=0.0,
    unavailable_share=0.0,
    reappear_share=0.0,
    frozen_share=0.0,
    settings_share=0.0,
)

FLEETS = {
    "prototype": PROTOTYPE,
    "usual": USUAL,
    "renewals": replace(USUAL, auto_stop_renewal_share=0.6),
    "renames": replace(USUAL, rename_share=0.5),
    "resizes": replace(USUAL, resize_share=0.2),
    "reappearances": replace(USUAL, reappear_share=0.3),
}

# When updated_at moves; the last is no rule of the emulated service, its moves are left out here.
RULES = ("every_status", "user_actions", "never")


def fleet_of(kind: str, rule: str, days: float = 7, seed: int = 7) -> Fleet:
    """A fleet of a kind whose updated_at goes by a rule."""
    settings = replace(FLEETS[kind], days=days, seed=seed)
    if rule == "user_actions":
        settings = replace(settings, updated_at_rule="user_actions")
    return Fleet(settings)


def sweeps_of(fleet: Fleet, minutes: float, lost_share: float = 0.05, seed: int = 1) -> list[Sweep]:
    """Sweeps every so many minutes, give or take a tenth, of which some get lost."""
    random = Random(seed)
    at_us, end_us = fleet.start_us, fleet.start_us + int(fleet.settings.days * DAY)
    found = []
    while at_us < end_us:
        found.append(Sweep(at_us, "failed" if random.random() < lost_share else "complete"))
        at_us += int(minutes * MINUTE * random.uniform(0.9, 1.1))
    return found
