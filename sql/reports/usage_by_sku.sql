-- What is charged for: how much of each SKU, and at what cost?
-- Grain: one row per project, SKU, charge and unit; null is an instance without a SKU.
-- Costs are those of what has a price; unpriced hours and disks stand beside them.
select
    charges.project_id,
    charges.sku,
    charges.charge,
    charges.unit,
    max(charges.currency) as currency,
    min(charges.unit_price) as unit_price_min,
    max(charges.unit_price) as unit_price_max,
    sum(charges.quantity) as quantity,
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
group by
    charges.project_id,
    charges.sku,
    charges.charge,
    charges.unit
order by
    billed_cost desc nulls last,
    running_hours desc,
    charges.project_id,
    charges.sku nulls last,
    charges.charge nulls last,
    charges.unit nulls last
