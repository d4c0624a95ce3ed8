-- What is known of each charge: its running time, and what things were called that day?
-- Grain: one row per charge of cost_daily that has a price, in the periods asked for. A
-- name is taken as of the end of the day, so that a new one leaves old charges alone.
with used as (
    select
        usage_daily.* exclude (is_complete),
        'compute' as charge
    from usage_daily
),

first_seen as (
    select
        project_id,
        instance_id,
        min(observed_at) as first_at
    from instance_history
    group by project_id, instance_id
),

charged as (
    select
        cost_daily.*,
        periods.charge_from,
        periods.charge_to,
        periods.period_from,
        periods.period_to,
        used.running_seconds_min,
        used.running_seconds,
        used.running_seconds_max,
        -- An instance is first seen a while after its first charge began.
        greatest(
            periods.charge_to, first_seen.first_at + interval 1 microsecond
        ) as seen_before,
        cast(
            case
                when cost_daily.is_waived then 0 else cost_daily.unit_price
            end as decimal(20, 12)
        )
            as billed_unit_price,
        case
            when
                cost_daily.price_currency = cost_daily.currency
                then cost_daily.unit_price
            -- The price book may be another one by now.
            else coalesce(
                    prices.unit_price,
                    cast(
                        cost_daily.unit_price / cost_daily.exchange_rate as decimal(18, 8)
                    )
                )
        end as price
    from cost_daily
    inner join periods on cost_daily.usage_date = periods.usage_date
    left join used
        on
        cost_daily.usage_date = used.usage_date
        and cost_daily.project_id = used.project_id
        and cost_daily.instance_id = used.instance_id
        and cost_daily.charge = used.charge
        and cost_daily.user_id is not distinct from used.user_id
        and cost_daily.pool_id is not distinct from used.pool_id
        and cost_daily.workspace_id is not distinct from used.workspace_id
        and cost_daily.ai_project_id is not distinct from used.ai_project_id
        and cost_daily.flavor is not distinct from used.flavor
        and cost_daily.sku is not distinct from used.sku
        and cost_daily.promo_type is not distinct from used.promo_type
        and cost_daily.billing_flavor is not distinct from used.billing_flavor
        and cost_daily.billing_ratio is not distinct from used.billing_ratio
        and cost_daily.accelerator_count is not distinct from used.accelerator_count
        and cost_daily.cpu_count is not distinct from used.cpu_count
        and cost_daily.memory_bytes is not distinct from used.memory_bytes
    left join prices on cost_daily.price_id = prices.price_id
    left join first_seen
        on
        cost_daily.project_id = first_seen.project_id
        and cost_daily.instance_id = first_seen.instance_id
    where cost_daily.is_priced
),

instances_then as (
    select *
    from instance_history
    where change not in ('gone', 'unlisted')
),

-- A SKU is the name of a flavor, or one that flavors are billed under and may be sold as.
skus as (
    select
        flavor as sku,
        arg_max(npu_count, observed_at) as npu_count,
        arg_max(gpu_count, observed_at) as gpu_count,
        arg_max(cpu_count, observed_at) as cpu_count,
        arg_max(memory_bytes, observed_at) as memory_bytes,
        arg_max(accelerator_kind, observed_at) as accelerator_kind
    from flavor_history
    where change not in ('gone', 'unlisted')
    group by flavor
),

named as (
    select
        charged.*,
        instances_then.name as instance_name,
        instances_then.profile_id,
        profile_history.de_type,
        provision_history.image_name,
        provision_history.image_tag,
        user_history.user_name,
        pool_history.type as pool_type
    from charged
    asof left join instances_then
        on
        charged.project_id = instances_then.project_id
        and charged.instance_id = instances_then.instance_id
        and charged.seen_before > instances_then.observed_at
    asof left join profile_history
        on
        instances_then.project_id = profile_history.project_id
        and instances_then.profile_id = profile_history.profile_id
        and charged.seen_before > profile_history.observed_at
    asof left join provision_history
        on
        instances_then.project_id = provision_history.project_id
        and instances_then.profile_id = provision_history.profile_id
        and charged.seen_before > provision_history.observed_at
    asof left join user_history
        on
        charged.project_id = user_history.project_id
        and charged.user_id = user_history.user_id
        and charged.seen_before > user_history.observed_at
    asof left join pool_history
        on
        charged.project_id = pool_history.project_id
        and charged.pool_id = pool_history.pool_id
        and charged.seen_before > pool_history.observed_at
),

wanted as (
    select distinct
        project_id,
        profile_id,
        charge_to
    from named
),

labels as (
    select
        wanted.project_id,
        wanted.profile_id,
        wanted.charge_to,
        to_json(
            map(
                list(attribute_history.key order by attribute_history.key),
                list(attribute_history.value order by attribute_history.key)
            )
        ) as labels
    from wanted
    inner join attribute_history
        on
        wanted.project_id = attribute_history.project_id
        and wanted.profile_id = attribute_history.owner_id
        and wanted.charge_to > attribute_history.valid_from
        and wanted.charge_to <= coalesce(attribute_history.valid_to, 'infinity')
    where
        attribute_history.owner_kind = 'profile'
        and attribute_history.map = 'labels'
        and attribute_history.change not in ('gone', 'unlisted')
        and attribute_history.value is not null
        -- What begins like this is the provider's own, and no label may pass for it.
        and not starts_with(attribute_history.key, 'modelarts:')
    group by wanted.project_id, wanted.profile_id, wanted.charge_to
)

select
    named.*,
    json_object(
        'InstanceType', named.sku,
        'CoreCount', skus.cpu_count,
        'GpuCount', skus.gpu_count,
        'MemorySize', skus.memory_bytes / 1073741824,
        'x_AcceleratorType', skus.accelerator_kind,
        'x_NpuCount', skus.npu_count
    ) as specification,
    coalesce(labels.labels, '{}') as labels,
    json_object('modelarts:ai_project', named.ai_project_id) as provider_tags
from named
left join skus on named.sku = skus.sku
left join labels
    on
    named.project_id = labels.project_id
    and named.profile_id = labels.profile_id
    and named.charge_to = labels.charge_to
