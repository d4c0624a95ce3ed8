-- How much of what ran was free, in a dedicated pool, or paid for?
-- Grain: one row per project and kind. Kinds are paid, free (by its terms) and dedicated
-- (in a pool that is billed as a whole). What free hours would have cost is their list
-- cost.
with kinds as (
    select
        *,
        case
            when not is_waived then 'paid'
            when lower(promo_type) = 'free' then 'free'
            else 'dedicated'
        end as kind
    from charges
    where usage_date >= $from and usage_date < $to
)

select
    project_id,
    kind,
    max(currency) as currency,
    count(distinct instance_id) as instance_count,
    count(distinct user_id) as user_count,
    sum(running_hours_min) as running_hours_min,
    sum(running_hours) as running_hours,
    sum(running_hours_max) as running_hours_max,
    sum(accelerator_hours) as accelerator_hours,
    sum(unknown_accelerator_hours) as unknown_accelerator_hours,
    sum(list_cost) as list_cost,
    sum(billed_cost_min) as billed_cost_min,
    sum(billed_cost) as billed_cost,
    sum(billed_cost_max) as billed_cost_max,
    sum(unpriced_hours) as unpriced_hours,
    sum(unpriced_gb_hours) as unpriced_gb_hours
from kinds
group by project_id, kind
order by project_id, kind
