-- What did each day of each instance cost, in the words of FOCUS 1.2?
-- Grain: one row per charge that has a price. A column is that of FOCUS in lower case:
-- billed_cost is BilledCost, and x_user_id is x_UserId.
select
    coalesce(billing_account, project_id) as billing_account_id,
    billing_account_name,
    currency as billing_currency,
    cast(null as varchar) as charge_class,
    'Usage' as charge_category,
    'Usage-Based' as charge_frequency,
    case charge when 'compute' then 'Running time on ' else 'Volume capacity of ' end
    || sku
    || case
        when not is_waived then ''
        when lower(promo_type) = 'free' then ', waived: a free flavor'
        else ', waived: in a dedicated pool'
    end as charge_description,
    cast(null as varchar) as commitment_discount_status,
    case charge when 'compute' then 'Seconds' else 'GB-Hours' end as consumed_unit,
    cast(null as varchar) as invoice_id,
    provider as invoice_issuer_name,
    'Standard' as pricing_category,
    price_currency as pricing_currency,
    case charge when 'compute' then 'Hours' else 'GB-Hours' end as pricing_unit,
    provider as provider_name,
    provider as publisher_name,
    region as region_id,
    case when region is not null then coalesce(region_name, region) end as region_name,
    instance_id as resource_id,
    instance_name as resource_name,
    coalesce(de_type, 'Notebook') as resource_type,
    'AI and Machine Learning' as service_category,
    service as service_name,
    'AI Platforms' as service_subcategory,
    sku as sku_id,
    case charge when 'compute' then 'Running time' else 'Volume capacity' end
        as sku_meter,
    case
        when
            charge = 'compute'
            then cast(json_merge_patch('{}', specification) as varchar)
    end as sku_price_details,
    price_id as sku_price_id,
    workspace_id as sub_account_id,
    workspace_id as sub_account_name,
    nullif(cast(json_merge_patch(labels, provider_tags) as varchar), '{}') as tags,
    billed_cost,
    billed_cost as contracted_cost,
    billed_cost as effective_cost,
    list_cost,
    billed_unit_price as contracted_unit_price,
    unit_price as list_unit_price,
    case when is_waived then cast(0 as decimal(20, 12)) else price end
        as pricing_currency_contracted_unit_price,
    case when is_waived then cast(0 as decimal(38, 22)) else quantity * price end
        as pricing_currency_effective_cost,
    price as pricing_currency_list_unit_price,
    quantity as pricing_quantity,
    cast(
        case charge when 'compute' then running_seconds else quantity end as decimal(
            26, 10
        )
    )
        as consumed_quantity,
    period_from as billing_period_start,
    period_to as billing_period_end,
    charge_from as charge_period_start,
    charge_to as charge_period_end,
    ai_project_id as x_ai_project_id,
    billing_flavor as x_billing_flavor,
    charge as x_charge,
    flavor as x_flavor,
    image_name || coalesce(':' || image_tag, '') as x_image_name,
    pool_id as x_pool_id,
    pool_type as x_pool_type,
    price_book_version as x_price_book_version,
    promo_type as x_promo_type,
    user_id as x_user_id,
    user_name as x_user_name,
    volume as x_volume,
    accelerator_count as x_accelerator_count,
    billing_ratio as x_billing_ratio,
    cpu_count as x_core_count,
    cast(memory_bytes as bigint) as x_memory_bytes,
    exchange_rate as x_exchange_rate,
    billed_cost_min as x_cost_lower,
    billed_cost_max as x_cost_upper,
    cast(running_seconds_min as decimal(26, 6)) as x_run_seconds_lower,
    cast(running_seconds as decimal(26, 6)) as x_run_seconds_point,
    cast(running_seconds_max as decimal(26, 6)) as x_run_seconds_upper,
    is_complete as x_is_complete,
    true as x_is_estimate,
    is_waived as x_is_waived,
    usage_date as x_usage_date
from focus_charges
cross join issuer
