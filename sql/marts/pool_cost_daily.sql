-- What did each priced pool cost on each day, and whose share was it?
-- Grain: one row per day, pool, instance that ran in it and whose it was; one without an
-- instance where none ran. The shares add up to the pool's hours, and so to its cost,
-- exactly.
with used as (
    select
        usage_date,
        pool_id,
        project_id,
        instance_id,
        user_id,
        workspace_id,
        ai_project_id,
        cast(sum(running_us * greatest(coalesce(accelerator_count, 1), 1)) as bigint)
            as weight_us
    from usage_daily
    where running_us > 0
    group by
        usage_date, pool_id, project_id, instance_id, user_id, workspace_id, ai_project_id
),

weighed as (
    select
        held.usage_date,
        held.pool_id,
        held.ticks,
        held.is_complete,
        coalesce(used.project_id, held.project_id) as project_id,
        used.instance_id,
        used.user_id,
        used.workspace_id,
        used.ai_project_id,
        used.weight_us,
        sum(used.weight_us) over by_instance as weight_so_far_us,
        sum(used.weight_us)
            over (partition by held.usage_date, held.pool_id)
            as weight_in_all_us,
        row_number() over by_instance as position
    from pool_days as held
    inner join days on held.usage_date = days.usage_date
    left join used on held.usage_date = used.usage_date and held.pool_id = used.pool_id
    window by_instance as (
        partition by held.usage_date, held.pool_id
        order by
            used.project_id,
            used.instance_id,
            used.user_id nulls last,
            used.workspace_id nulls last,
            used.ai_project_id nulls last
        rows between unbounded preceding and current row
    )
),

-- What all have so far, less what all before had: the last one takes the rest.
shared as (
    select
        *,
        coalesce(
            cast(
                floor(
                    ticks
                    * (
                        cast(weight_so_far_us as double)
                        / cast(weight_in_all_us as double)
                    )
                )
                as bigint
            ),
            ticks
        ) as ticks_so_far
    from weighed
),

measured as (
    select
        *,
        cast(
            cast(
                ticks_so_far - coalesce(
                    lag(ticks_so_far)
                        over (partition by usage_date, pool_id order by position),
                    0
                ) as decimal(18, 0)
            ) * 0.0000000001 as decimal(17, 10)
        ) as quantity
    from shared
)

select
    measured.usage_date,
    measured.project_id,
    measured.pool_id,
    measured.instance_id,
    measured.user_id,
    measured.workspace_id,
    measured.ai_project_id,
    prices_daily.price_id,
    'hour' as unit,
    coalesce(prices_daily.currency, billing.currency) as currency,
    prices_daily.price_currency,
    prices_daily.exchange_rate,
    prices_daily.unit_price,
    cast(measured.quantity as decimal(20, 10)) as quantity,
    cast(measured.quantity * prices_daily.unit_price as decimal(37, 22)) as cost,
    coalesce(measured.weight_us, 0) as weight_us,
    measured.instance_id is null as is_idle,
    prices_daily.unit_price is not null as is_priced,
    measured.is_complete
from measured
cross join billing
left join prices_daily
    on
    measured.usage_date = prices_daily.usage_date
    and measured.pool_id = prices_daily.sku
    and prices_daily.kind = 'pool'
