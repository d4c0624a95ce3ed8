-- How much less is billed than the list says, and why?
-- Grain: one row per project, SKU, charge and reason. Reasons are free (by its terms) and
-- dedicated (in a pool that is billed as a whole); without one, nothing is saved. What is
-- saved is list cost less billed cost; where there is no price it is not known.
with reasons as (
    select
        *,
        case
            when not is_waived then null
            when lower(promo_type) = 'free' then 'free'
            else 'dedicated'
        end as reason
    from charges
    where usage_date >= $from and usage_date < $to
)

select
    project_id,
    sku,
    charge,
    reason,
    max(currency) as currency,
    count(distinct instance_id) as instance_count,
    sum(running_hours) as running_hours,
    sum(list_cost) as list_cost,
    sum(billed_cost) as billed_cost,
    sum(list_cost - billed_cost) as saved_cost,
    six_decimals(
        100
        * cast(sum(list_cost - billed_cost) as double)
        / nullif(cast(sum(list_cost) as double), 0)
    ) as saved_percent,
    sum(unpriced_hours) as unpriced_hours,
    sum(unpriced_gb_hours) as unpriced_gb_hours
from reasons
group by project_id, sku, charge, reason
order by
    saved_cost desc nulls last,
    list_cost desc nulls last,
    project_id,
    sku nulls last,
    charge,
    reason nulls last
