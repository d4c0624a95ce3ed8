-- At which hours of the day do instances run?
-- Grain: one row per project and hour of the day in the billing time zone; those in which
-- nothing ever ran are left out.
select
    project_id,
    hour_of_day,
    count(distinct instance_id) as instance_count,
    sum(running_hours_min) as running_hours_min,
    sum(running_hours) as running_hours,
    sum(running_hours_max) as running_hours_max,
    sum(cast(running_hours * card_count as decimal(20, 10))) as accelerator_hours,
    sum(
        case
            when card_count is null then running_hours else cast(0 as decimal(20, 10))
        end
    ) as unknown_accelerator_hours
from hourly_charges
where usage_date >= $from and usage_date < $to
group by project_id, hour_of_day
order by project_id, hour_of_day
