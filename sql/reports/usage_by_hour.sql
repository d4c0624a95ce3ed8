-- How many hours were used in each hour, and so how many instances ran in the mean?
-- Grain: one row per project, day and hour of it in the billing time zone; those in which
-- nothing ran are left out. Where clocks go back, an hour of the day is two.
select
    project_id,
    usage_date,
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
group by project_id, usage_date, hour_of_day
order by usage_date, hour_of_day, project_id
