-- What did each instance run, and what did it cost, in one place?
-- Grain: one row per row of usage_daily, with what it cost, and one per day and disk.
-- Hours are those that were charged, to ten decimals, so that all sums of them agree. A
-- CPU flavor has no accelerators; where a flavor does not say, they are null.
with kinds as (
    select
        project_id,
        flavor,
        max_by(type, observed_at) as type
    from flavor_history
    where type is not null
    group by project_id, flavor
),

timed as (
    select
        *,
        'compute' as charge,
        cast(
            cast(cast(round(running_us_min * 25 / 9) as bigint) as decimal(18, 0))
            * 0.0000000001 as decimal(20, 10)
        ) as running_hours_min,
        cast(
            cast(cast(round(running_us * 25 / 9) as bigint) as decimal(18, 0))
            * 0.0000000001 as decimal(20, 10)
        ) as running_hours,
        cast(
            cast(cast(round(running_us_max * 25 / 9) as bigint) as decimal(18, 0))
            * 0.0000000001 as decimal(20, 10)
        ) as running_hours_max
    from usage_daily
),

used as (
    select
        timed.*,
        case
            when upper(kinds.type) = 'CPU' then coalesce(timed.accelerator_count, 0)
            else timed.accelerator_count
        end as card_count
    from timed
    left join kinds
        on timed.project_id = kinds.project_id and timed.flavor = kinds.flavor
)

select
    used.project_id,
    used.instance_id,
    used.user_id,
    used.pool_id,
    used.workspace_id,
    used.ai_project_id,
    used.usage_date,
    used.flavor,
    used.sku,
    used.charge,
    'hour' as unit,
    used.promo_type,
    cost_daily.price_id,
    cost_daily.currency,
    cost_daily.unit_price,
    cost_daily.quantity,
    used.running_hours_min,
    used.running_hours,
    used.running_hours_max,
    cast(
        used.running_hours * try_cast(used.card_count as decimal(9, 0)) as decimal(20, 10)
    ) as accelerator_hours,
    case
        when used.card_count is null then used.running_hours
        else cast(0 as decimal(20, 10))
    end as unknown_accelerator_hours,
    cost_daily.list_cost,
    cost_daily.billed_cost_min,
    cost_daily.billed_cost,
    cost_daily.billed_cost_max,
    case
        when coalesce(cost_daily.is_priced, false) then cast(0 as decimal(20, 10))
        else used.running_hours
    end as unpriced_hours,
    cast(0 as decimal(20, 10)) as unpriced_gb_hours,
    coalesce(cost_daily.is_dedicated, false) as is_dedicated,
    coalesce(cost_daily.is_waived, false) as is_waived,
    coalesce(cost_daily.is_priced, false) as is_priced,
    used.is_complete
from used
left join cost_daily
    on
    used.project_id = cost_daily.project_id
    and used.usage_date = cost_daily.usage_date
    and used.instance_id = cost_daily.instance_id
    and used.charge = cost_daily.charge
    and used.user_id is not distinct from cost_daily.user_id
    and used.pool_id is not distinct from cost_daily.pool_id
    and used.workspace_id is not distinct from cost_daily.workspace_id
    and used.ai_project_id is not distinct from cost_daily.ai_project_id
    and used.flavor is not distinct from cost_daily.flavor
    and used.sku is not distinct from cost_daily.sku
    and used.promo_type is not distinct from cost_daily.promo_type
    and used.billing_flavor is not distinct from cost_daily.billing_flavor
    and used.billing_ratio is not distinct from cost_daily.billing_ratio
    and used.accelerator_count is not distinct from cost_daily.accelerator_count
    and used.cpu_count is not distinct from cost_daily.cpu_count
    and used.memory_bytes is not distinct from cost_daily.memory_bytes
union all
select
    project_id,
    instance_id,
    user_id,
    pool_id,
    workspace_id,
    ai_project_id,
    usage_date,
    flavor,
    sku,
    charge,
    unit,
    promo_type,
    price_id,
    currency,
    unit_price,
    quantity,
    cast(0 as decimal(20, 10)) as running_hours_min,
    cast(0 as decimal(20, 10)) as running_hours,
    cast(0 as decimal(20, 10)) as running_hours_max,
    cast(0 as decimal(20, 10)) as accelerator_hours,
    cast(0 as decimal(20, 10)) as unknown_accelerator_hours,
    list_cost,
    billed_cost_min,
    billed_cost,
    billed_cost_max,
    cast(0 as decimal(20, 10)) as unpriced_hours,
    case when is_priced then cast(0 as decimal(20, 10)) else quantity end
        as unpriced_gb_hours,
    is_dedicated,
    is_waived,
    is_priced,
    is_complete
from cost_daily
where charge = 'storage'
