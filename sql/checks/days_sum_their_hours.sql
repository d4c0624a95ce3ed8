-- Is the running time of a day the sum of its hours?
-- Grain: one row per day and project where it is not.
-- Severity: fail
with hourly as (
    select
        usage_date,
        project_id,
        sum(running_us_min) as running_us_min,
        sum(running_us) as running_us,
        sum(running_us_max) as running_us_max
    from usage_hourly
    group by usage_date, project_id
),

daily as (
    select
        usage_date,
        project_id,
        sum(running_us_min) as running_us_min,
        sum(running_us) as running_us,
        sum(running_us_max) as running_us_max
    from usage_daily
    group by usage_date, project_id
)

select
    coalesce(hourly.usage_date, daily.usage_date) as usage_date,
    coalesce(hourly.project_id, daily.project_id) as project_id,
    cast(hourly.running_us as bigint) as hourly_us,
    cast(daily.running_us as bigint) as daily_us
from hourly
full outer join daily
    on hourly.usage_date = daily.usage_date and hourly.project_id = daily.project_id
where
    hourly.running_us is distinct from daily.running_us
    or hourly.running_us_min is distinct from daily.running_us_min
    or hourly.running_us_max is distinct from daily.running_us_max
order by usage_date, project_id
