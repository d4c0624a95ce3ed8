-- Which projects used how many hours, and at what cost?
-- Grain: one row per project.
-- Costs are those of what has a price; unpriced hours and disks stand beside them.
select
    charges.project_id,
    max(charges.currency) as currency,
    count(distinct charges.instance_id) as instance_count,
    count(distinct charges.user_id) as user_count,
    sum(charges.running_hours_min) as running_hours_min,
    sum(charges.running_hours) as running_hours,
    sum(charges.running_hours_max) as running_hours_max,
    sum(charges.accelerator_hours) as accelerator_hours,
    sum(charges.unknown_accelerator_hours) as unknown_accelerator_hours,
    sum(charges.list_cost) as list_cost,
    sum(charges.billed_cost_min) as billed_cost_min,
    sum(charges.billed_cost) as billed_cost,
    sum(charges.billed_cost_max) as billed_cost_max,
    sum(charges.unpriced_hours) as unpriced_hours,
    sum(charges.unpriced_gb_hours) as unpriced_gb_hours
from charges
where charges.usage_date >= $from and charges.usage_date < $to
group by charges.project_id
order by
    billed_cost desc nulls last,
    running_hours desc,
    charges.project_id
