-- Does every estimate of running time lie within its bounds?
-- Grain: one row per row of usage_hourly whose estimate does not.
-- Severity: fail
select
    usage_date,
    hour_from_us,
    project_id,
    instance_id,
    running_us_min,
    running_us,
    running_us_max
from usage_hourly
where running_us < running_us_min or running_us > running_us_max or running_us_min < 0
order by usage_date, hour_from_us, project_id, instance_id
