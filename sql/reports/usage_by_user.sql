-- Who used how many hours, and at what cost?
-- Grain: one row per project and user; null is an instance without a user.
-- Costs are those of what has a price; unpriced hours and disks stand beside them.
with named as (
    select
        project_id,
        user_id,
        max_by(user_name, observed_at) filter (where user_name is not null) as user_name
    from user_history
    group by project_id, user_id
)

select
    charges.project_id,
    charges.user_id,
    named.user_name,
    max(charges.currency) as currency,
    count(distinct charges.instance_id) as instance_count,
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
    and charges.user_id = named.user_id
where charges.usage_date >= $from and charges.usage_date < $to
group by
    charges.project_id,
    charges.user_id,
    named.user_name
order by
    billed_cost desc nulls last,
    running_hours desc,
    charges.project_id,
    charges.user_id nulls last
