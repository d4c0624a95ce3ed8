-- Does the service's own countdown to a stop agree with the time of the sighting?
-- Grain: one row per row of instance_history whose time left leads elsewhere than to
-- stop_at, by over a minute: the clock in the answers is then another than the one that
-- wrote them.
-- Severity: warn
select
    project_id,
    instance_id,
    sweep_id,
    observed_at,
    stop_at,
    auto_stop_remaining_seconds
from instance_history
where
    change in ('new', 'changed', 'keyframe')
    and status = 'RUNNING'
    and (
        stop_at
        > observed_at + (auto_stop_remaining_seconds + 60) * interval '1' second
        or stop_at
        < observed_at + (auto_stop_remaining_seconds - 60) * interval '1' second
    )
order by project_id, instance_id, observed_at, sweep_id
