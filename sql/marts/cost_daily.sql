-- What did each instance cost on each day of the billing time zone, to compute and for
-- disks?
-- Grain: one row per day, instance, charge, SKU, volume and what else changed within the
-- day. A cost is quantity times unit price, unrounded; where either is not known it is
-- null.
with timed as (
    select
        usage_daily.*,
        -- To ten decimals, of which a microsecond is 25 / 9: so none lies halfway.
        cast(cast(round(running_us_min * 25 / 9) as bigint) as decimal(18, 0))
        * 0.0000000001 as hours_min,
        cast(cast(round(running_us * 25 / 9) as bigint) as decimal(18, 0))
        * 0.0000000001 as hours,
        cast(cast(round(running_us_max * 25 / 9) as bigint) as decimal(18, 0))
        * 0.0000000001 as hours_max,
        case
            when billing_flavor is null then 1
            -- Beyond it is no ratio, and its product would not fit.
            when billing_ratio between 0 and 99999 then billing_ratio
        end as ratio
    from usage_daily
),

charged as (
    select
        usage_date,
        project_id,
        instance_id,
        user_id,
        pool_id,
        workspace_id,
        ai_project_id,
        flavor,
        sku,
        'compute' as charge,
        'hour' as unit,
        cast(null as bigint) as volume,
        promo_type,
        billing_flavor,
        billing_ratio,
        accelerator_count,
        cpu_count,
        memory_bytes,
        cast(hours_min * cast(ratio as decimal(6, 0)) as decimal(17, 10)) as quantity_min,
        cast(hours * cast(ratio as decimal(6, 0)) as decimal(17, 10)) as quantity,
        cast(hours_max * cast(ratio as decimal(6, 0)) as decimal(17, 10)) as quantity_max,
        is_complete
    from timed
    union all
    select
        usage_date,
        project_id,
        instance_id,
        user_id,
        pool_id,
        workspace_id,
        ai_project_id,
        cast(null as string) as flavor,
        sku,
        'storage' as charge,
        'gb_hour' as unit,
        volume,
        cast(null as string) as promo_type,
        cast(null as string) as billing_flavor,
        cast(null as bigint) as billing_ratio,
        cast(null as bigint) as accelerator_count,
        cast(null as bigint) as cpu_count,
        cast(null as bigint) as memory_bytes,
        cast(quantity_min as decimal(17, 10)) as quantity_min,
        cast(quantity as decimal(17, 10)) as quantity,
        cast(quantity_max as decimal(17, 10)) as quantity_max,
        is_complete
    from storage_daily
),

priced as (
    select
        charged.*,
        prices_daily.price_id,
        coalesce(prices_daily.currency, billing.currency) as currency,
        prices_daily.price_currency,
        prices_daily.exchange_rate,
        prices_daily.unit_price,
        coalesce(pools_daily.is_dedicated, false) as is_dedicated,
        charged.charge = 'compute'
        and (
            coalesce(lower(charged.promo_type) = 'free', false)
            or (
                coalesce(pools_daily.is_dedicated, false)
                and not coalesce(billing.dedicated_pools_are_billed, false)
            )
        ) as is_waived
    from charged
    cross join billing
    left join prices_daily
        on
        charged.usage_date = prices_daily.usage_date
        and charged.sku = prices_daily.sku
        and charged.charge = prices_daily.kind
    left join pools_daily
        on
        charged.usage_date = pools_daily.usage_date
        and charged.project_id = pools_daily.project_id
        and charged.pool_id = pools_daily.pool_id
),

billed as (
    select
        *,
        case
            when is_waived and unit_price is not null then cast(0 as decimal(20, 12))
            else unit_price
        end as billed_unit_price
    from priced
)

select
    usage_date,
    project_id,
    instance_id,
    user_id,
    pool_id,
    workspace_id,
    ai_project_id,
    flavor,
    sku,
    charge,
    volume,
    promo_type,
    billing_flavor,
    billing_ratio,
    accelerator_count,
    cpu_count,
    memory_bytes,
    price_id,
    unit,
    currency,
    price_currency,
    exchange_rate,
    unit_price,
    cast(quantity_min as decimal(20, 10)) as quantity_min,
    cast(quantity as decimal(20, 10)) as quantity,
    cast(quantity_max as decimal(20, 10)) as quantity_max,
    cast(quantity * unit_price as decimal(37, 22)) as list_cost,
    cast(quantity_min * billed_unit_price as decimal(37, 22)) as billed_cost_min,
    cast(quantity * billed_unit_price as decimal(37, 22)) as billed_cost,
    cast(quantity_max * billed_unit_price as decimal(37, 22)) as billed_cost_max,
    is_dedicated,
    is_waived,
    quantity * unit_price is not null as is_priced,
    is_complete
from billed
