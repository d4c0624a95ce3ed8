-- Which SKUs have no price, and how much runs on them?
-- Grain: one row per project, SKU, charge and what is missing, that which misses most
-- first; nothing is missing where a price was found. A row to add to the price book has
-- this SKU, and compute or storage as its kind.
with judged as (
    select
        *,
        case
            when is_priced then null
            when sku is null then 'sku'
            when price_id is null then 'price'
            when unit_price is null then 'exchange rate'
            when charge = 'compute' then 'billing ratio'
            else 'size of the disk'
        end as missing
    from charges
    where usage_date >= $from and usage_date < $to
)

select
    project_id,
    sku,
    charge,
    unit,
    missing,
    max(currency) as currency,
    count(distinct instance_id) as instance_count,
    count(distinct usage_date) as day_count,
    sum(running_hours) as running_hours,
    sum(unpriced_hours) as unpriced_hours,
    sum(unpriced_gb_hours) as unpriced_gb_hours,
    sum(list_cost) as list_cost,
    min(usage_date) as first_date,
    max(usage_date) as last_date
from judged
group by project_id, sku, charge, unit, missing
order by
    unpriced_hours desc nulls last,
    unpriced_gb_hours desc nulls last,
    project_id,
    sku nulls last,
    charge,
    missing nulls last
