-- Is the running time of all sessions that of all hours?
-- Grain: one row per project where it is not. Of all days only: a session goes on over
-- the end of a day.
-- Severity: fail
with hourly as (
    select
        project_id,
        sum(running_us) as running_us
    from usage_hourly
    group by project_id
),

observed as (
    select
        project_id,
        sum(running_us) as running_us
    from sessions
    group by project_id
)

select
    coalesce(hourly.project_id, observed.project_id) as project_id,
    cast(hourly.running_us as bigint) as hourly_us,
    cast(observed.running_us as bigint) as sessions_us
from hourly
full outer join observed on hourly.project_id = observed.project_id
where coalesce(hourly.running_us, 0) <> coalesce(observed.running_us, 0)
order by project_id
