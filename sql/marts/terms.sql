-- On which terms was a flavor offered, and what was in it, at what time?
-- Grain: one row per flavor and stretch of time; the first holds for the time before too.
with billed_beside as (
    select
        *,
        lag(valid_from) over life as before_from,
        lag(sku) over life as before_sku,
        lag(promo_type) over life as before_promo_type,
        lag(billing_flavor) over life as before_billing_flavor,
        lag(billing_ratio) over life as before_billing_ratio
    from billing_history
    where change in ('new', 'changed')
    window life as (partition by project_id, flavor order by valid_from, sweep_id)
),

billed as (
    select
        project_id,
        flavor,
        sku,
        promo_type,
        billing_flavor,
        billing_ratio,
        unix_micros(valid_from) as since_us
    from billed_beside
    where
        before_from is null
        or sku is distinct from before_sku
        or promo_type is distinct from before_promo_type
        or billing_flavor is distinct from before_billing_flavor
        or billing_ratio is distinct from before_billing_ratio
),

-- A flavor is on sale and sold out in turn, which changes none of its terms.
offered_beside as (
    select
        *,
        lag(valid_from) over life as before_from,
        lag(accelerator_count) over life as before_accelerator_count,
        lag(cpu_count) over life as before_cpu_count,
        lag(memory_bytes) over life as before_memory_bytes
    from flavor_history
    where change in ('new', 'changed')
    window life as (partition by project_id, flavor order by valid_from, sweep_id)
),

offered as (
    select
        project_id,
        flavor,
        accelerator_count,
        cpu_count,
        memory_bytes,
        unix_micros(valid_from) as since_us
    from offered_beside
    where
        before_from is null
        or accelerator_count is distinct from before_accelerator_count
        or cpu_count is distinct from before_cpu_count
        or memory_bytes is distinct from before_memory_bytes
),

moments as (
    select
        project_id,
        flavor,
        since_us
    from billed
    union
    select
        project_id,
        flavor,
        since_us
    from offered
),

billed_then as (
    select
        moments.*,
        billed.sku,
        billed.promo_type,
        billed.billing_flavor,
        billed.billing_ratio,
        row_number() over (
            partition by moments.project_id, moments.flavor, moments.since_us
            order by billed.since_us desc nulls last
        ) as age
    from moments
    left join billed
        on
        moments.project_id = billed.project_id
        and moments.flavor = billed.flavor
        and moments.since_us >= billed.since_us
),

offered_then as (
    select
        moments.project_id,
        moments.flavor,
        moments.since_us,
        offered.accelerator_count,
        offered.cpu_count,
        offered.memory_bytes,
        row_number() over (
            partition by moments.project_id, moments.flavor, moments.since_us
            order by offered.since_us desc nulls last
        ) as age
    from moments
    left join offered
        on
        moments.project_id = offered.project_id
        and moments.flavor = offered.flavor
        and moments.since_us >= offered.since_us
)

select
    billed_then.project_id,
    billed_then.flavor,
    billed_then.sku,
    billed_then.promo_type,
    billed_then.billing_flavor,
    billed_then.billing_ratio,
    offered_then.accelerator_count,
    offered_then.cpu_count,
    offered_then.memory_bytes,
    case
        when lag(billed_then.since_us) over flavor_life is null then 0
        else billed_then.since_us
    end as from_us,
    coalesce(lead(billed_then.since_us) over flavor_life, 9000000000000000000) as to_us
from billed_then
inner join offered_then
    on
    billed_then.project_id = offered_then.project_id
    and billed_then.flavor = offered_then.flavor
    and billed_then.since_us = offered_then.since_us
where billed_then.age = 1 and offered_then.age = 1
window flavor_life as (
    partition by billed_then.project_id, billed_then.flavor order by billed_then.since_us
)
