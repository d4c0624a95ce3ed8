-- By how much do closed billing periods, as exported, differ from what is known now?
-- Grain: one row per charge that differs. Its figures, added to those that were exported,
-- make what is known now. It belongs to the billing period that is open.
with both_sides as (
    select
        *,
        1 as side
    from focus
    where billing_period_start in (select period_from from corrected)
    union all by name
    select
        * replace (
            -billed_cost as billed_cost,
            -contracted_cost as contracted_cost,
            -effective_cost as effective_cost,
            -list_cost as list_cost,
            -pricing_currency_effective_cost as pricing_currency_effective_cost,
            -pricing_quantity as pricing_quantity,
            -consumed_quantity as consumed_quantity,
            -x_cost_lower as x_cost_lower,
            -x_cost_upper as x_cost_upper,
            -x_run_seconds_lower as x_run_seconds_lower,
            -x_run_seconds_point as x_run_seconds_point,
            -x_run_seconds_upper as x_run_seconds_upper
        ),
        -1 as side
    from exported
    where exists (
            select 1
            from corrected
            where
                exported.charge_period_start >= corrected.period_from
                and exported.charge_period_start < corrected.period_to
        )
),

differences as (
    select
        billing_account_id,
        billing_currency,
        charge_category,
        charge_frequency,
        charge_period_start,
        charge_period_end,
        consumed_unit,
        contracted_unit_price,
        list_unit_price,
        pricing_category,
        pricing_currency,
        pricing_currency_contracted_unit_price,
        pricing_currency_list_unit_price,
        pricing_unit,
        region_id,
        resource_id,
        sku_id,
        sku_price_id,
        sub_account_id,
        x_ai_project_id,
        x_billing_flavor,
        x_billing_ratio,
        x_charge,
        x_exchange_rate,
        x_flavor,
        x_is_estimate,
        x_is_waived,
        x_pool_id,
        x_promo_type,
        x_usage_date,
        x_user_id,
        x_volume,
        arg_max(billing_account_name, side) as billing_account_name,
        arg_max(charge_description, side) as charge_description,
        arg_max(commitment_discount_status, side) as commitment_discount_status,
        arg_max(invoice_id, side) as invoice_id,
        arg_max(invoice_issuer_name, side) as invoice_issuer_name,
        arg_max(provider_name, side) as provider_name,
        arg_max(publisher_name, side) as publisher_name,
        arg_max(region_name, side) as region_name,
        arg_max(resource_name, side) as resource_name,
        arg_max(resource_type, side) as resource_type,
        arg_max(service_category, side) as service_category,
        arg_max(service_name, side) as service_name,
        arg_max(service_subcategory, side) as service_subcategory,
        arg_max(sku_meter, side) as sku_meter,
        arg_max(sku_price_details, side) as sku_price_details,
        arg_max(sub_account_name, side) as sub_account_name,
        arg_max(tags, side) as tags,
        arg_max(x_accelerator_count, side) as x_accelerator_count,
        arg_max(x_core_count, side) as x_core_count,
        arg_max(x_image_name, side) as x_image_name,
        arg_max(x_is_complete, side) as x_is_complete,
        arg_max(x_memory_bytes, side) as x_memory_bytes,
        arg_max(x_pool_type, side) as x_pool_type,
        arg_max(x_price_book_version, side) as x_price_book_version,
        arg_max(x_user_name, side) as x_user_name,
        sum(billed_cost) as billed_cost,
        sum(contracted_cost) as contracted_cost,
        sum(effective_cost) as effective_cost,
        sum(list_cost) as list_cost,
        sum(pricing_currency_effective_cost) as pricing_currency_effective_cost,
        sum(pricing_quantity) as pricing_quantity,
        sum(consumed_quantity) as consumed_quantity,
        sum(x_cost_lower) as x_cost_lower,
        sum(x_cost_upper) as x_cost_upper,
        sum(x_run_seconds_lower) as x_run_seconds_lower,
        sum(x_run_seconds_point) as x_run_seconds_point,
        sum(x_run_seconds_upper) as x_run_seconds_upper
    from both_sides
    group by all
)

select
    differences.*,
    'Correction' as charge_class,
    periods.period_from as billing_period_start,
    periods.period_to as billing_period_end
from differences
cross join correcting as periods
where
    differences.list_cost <> 0
    or differences.billed_cost <> 0
    or differences.pricing_currency_effective_cost <> 0
    or differences.pricing_quantity <> 0
    or differences.consumed_quantity <> 0
    or differences.x_cost_lower <> 0
    or differences.x_cost_upper <> 0
    or coalesce(differences.x_run_seconds_lower <> 0, false)
    or coalesce(differences.x_run_seconds_point <> 0, false)
    or coalesce(differences.x_run_seconds_upper <> 0, false)
