-- Does an instance run for no longer in an hour than an hour has?
-- Grain: one row per hour and instance that does.
-- Severity: fail
select
    usage_date,
    hour_from_us,
    project_id,
    instance_id,
    cast(sum(running_us_max) as bigint) as running_us_max
from usage_hourly
group by usage_date, hour_from_us, project_id, instance_id
having sum(running_us_max) > 3600000000
order by usage_date, hour_from_us, project_id, instance_id
