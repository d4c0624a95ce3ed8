"""What a fleet is like: how many instances, how they are used, and how often what happens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

UpdatedAtRule = Literal["every_status", "user_actions"]


@dataclass(frozen=True)
class FleetSettings:
    """A fleet is drawn from these alone; equal settings give equal fleets. A share is of 1.

    Lives go on for `days` from `start`; sessions that began by then end, and nothing else happens.
    """

    instances: int = 200  # As many are listed at the start.
    seed: int = 7
    start: str = "2026-10-12T00:00:00Z"
    days: float = 3.0
    users: int = 20  # The first one is whom tokens are issued to.
    workspaces: int = 4
    ai_projects: int = 3
    unchanging: bool = False  # Nothing happens from the start on.

    created_share: float = 0.1  # New instances per day, of those at the start.
    tie_share: float = 0.02  # Created in the same millisecond as the one before.
    mean_run_hours: float = 3.0
    mean_idle_hours: float = 6.0
    short_run_share: float = 0.1  # Runs of one to ten minutes.
    forgotten_share: float = 0.03  # Instances that run for ever, with auto-stop off.
    auto_stop_share: float = 0.7  # Instances with auto-stop on.

    npu_share: float = 0.4  # These four are weights: their sum is the whole.
    gpu_share: float = 0.2
    cpu_share: float = 0.25
    free_share: float = 0.15
    pool_share: float = 0.2  # Instances in a dedicated pool.
    repository_share: float = 0.1  # Instances with a repository, and so with credentials.

    # Instances whose numbers come as text, and whose timestamps that are text come as numbers.
    swapped_numbers_share: float = 0.0

    # Of all runs.
    auto_stop_renewal_share: float = 0.1  # The user moves the stop while it runs.
    rename_share: float = 0.05
    resize_share: float = 0.03
    restart_share: float = 0.05
    unavailable_share: float = 0.01
    reappear_share: float = 0.02  # It is missing from the listing for a while.
    failure_share: float = 0.03  # Creations, starts and resizes that fail.
    # Of all idle times.
    delete_share: float = 0.05  # It ends in the deletion of the instance.
    frozen_share: float = 0.01  # It passes through FROZEN, which the reference does not know.
    settings_share: float = 0.03  # The user turns auto-stop on or off.

    # "user_actions": status changes and automatic stops do not move latest_update_timestamp; the
    # creation, a rename, a resize, a change of settings and a stop by the user do.
    updated_at_rule: UpdatedAtRule = "every_status"
    updated_at_lag_seconds: float = 2.0  # It is later than what happened by up to this much.
    deleted_linger_seconds: float = 3600.0  # A DELETED instance is listed so long.
