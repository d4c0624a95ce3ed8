-- How many hours were used on each day, and at what cost?
-- Grain: one row per project and day of the billing time zone on which anything was
-- metered. A day that is not complete was not metered from end to end.
with days as (
    select
        project_id,
        usage_date,
        coalesce(
            lag(usage_date) over life is not null
            and lead(usage_date) over life is not null,
            false
        ) as is_inside
    from coverage
    window life as (partition by project_id order by usage_date)
)

select
    days.project_id,
    days.usage_date,
    max(charges.currency) as currency,
    count(distinct charges.instance_id) as instance_count,
    count(distinct charges.user_id) as user_count,
    coalesce(sum(charges.running_hours_min), 0) as running_hours_min,
    coalesce(sum(charges.running_hours), 0) as running_hours,
    coalesce(sum(charges.running_hours_max), 0) as running_hours_max,
    case when count(charges.project_id) > 0 then sum(charges.accelerator_hours) else 0 end
        as accelerator_hours,
    coalesce(sum(charges.unknown_accelerator_hours), 0) as unknown_accelerator_hours,
    sum(charges.list_cost) as list_cost,
    sum(charges.billed_cost_min) as billed_cost_min,
    sum(charges.billed_cost) as billed_cost,
    sum(charges.billed_cost_max) as billed_cost_max,
    coalesce(sum(charges.unpriced_hours), 0) as unpriced_hours,
    case when count(charges.project_id) > 0 then sum(charges.unpriced_gb_hours) else 0 end
        as unpriced_gb_hours,
    days.is_inside or coalesce(max(charges.is_complete), false) as is_complete
from days
left join charges
    on
    days.project_id = charges.project_id
    and days.usage_date = charges.usage_date
where days.usage_date >= $from and days.usage_date < $to
group by
    days.project_id,
    days.usage_date,
    days.is_inside
order by days.usage_date, days.project_id
