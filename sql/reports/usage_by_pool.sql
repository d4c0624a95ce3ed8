-- Which resource pools were used for how many hours, and at what cost?
-- Grain: one row per project and pool; null is an instance without a pool.
-- Costs are those of what has a price; unpriced hours and disks stand beside them.
with named as (
    select
        project_id,
        pool_id,
        max_by(name, observed_at) filter (where name is not null) as pool_name,
        max_by(type, observed_at) filter (where type is not null) as pool_type
    from pool_history
    group by project_id, pool_id
)

select
    charges.project_id,
    charges.pool_id,
    named.pool_name,
    named.pool_type,
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
left join named
    on
    charges.project_id = named.project_id
    and charges.pool_id = named.pool_id
where charges.usage_date >= $from and charges.usage_date < $to
group by
    charges.project_id,
    charges.pool_id,
    named.pool_name,
    named.pool_type
order by
    billed_cost desc nulls last,
    running_hours desc,
    charges.project_id,
    charges.pool_id nulls last
