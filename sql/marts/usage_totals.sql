-- How long did everything run on each day, and how much of it rests on midpoints?
-- Grain: one row per project and day of the billing time zone on which anything may have
-- run.
select
    project_id,
    usage_date,
    cast(sum(running_us_min) as bigint) as running_us_min,
    cast(sum(running_us) as bigint) as running_us,
    cast(sum(running_us_max) as bigint) as running_us_max,
    cast(sum(midpoint_us) as bigint) as midpoint_us
from usage_daily
group by project_id, usage_date
