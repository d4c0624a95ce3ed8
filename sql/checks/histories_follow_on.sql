-- Does the history of every instance begin as new, and go on as what was there before?
-- Grain: one row per row of instance_history that cannot follow the one before it.
-- Severity: warn
with paired as (
    select
        project_id,
        instance_id,
        sweep_id,
        observed_at,
        change,
        lag(change)
            over (partition by project_id, instance_id order by observed_at, sweep_id)
            as before_change
    from instance_history
)

select
    project_id,
    instance_id,
    sweep_id,
    observed_at,
    change,
    before_change
from paired
where
    (change = 'new')
    is distinct from (coalesce(before_change, 'gone') in ('gone', 'unlisted'))
order by project_id, instance_id, observed_at, sweep_id
