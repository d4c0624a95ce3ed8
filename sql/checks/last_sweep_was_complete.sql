-- Was the last sweep of every project proven complete?
-- Grain: one row per project whose last sweep was not.
-- Severity: warn
with numbered as (
    select
        project_id,
        sweep_id,
        verdict,
        reason,
        started_at,
        row_number() over (partition by project_id order by started_at desc) as age
    from sweeps
)

select
    project_id,
    sweep_id,
    verdict,
    reason,
    started_at
from numbered
where age = 1 and verdict <> 'complete'
order by project_id
