-- Is a row of usage_daily the only one of its day, instance, SKU and what splits a day?
-- Grain: one row per key that has several.
-- Severity: fail
select
    usage_date,
    project_id,
    instance_id,
    sku,
    flavor,
    user_id,
    pool_id,
    workspace_id,
    ai_project_id,
    promo_type,
    billing_ratio,
    count(*) as row_count
from usage_daily
group by
    usage_date,
    project_id,
    instance_id,
    sku,
    flavor,
    user_id,
    pool_id,
    workspace_id,
    ai_project_id,
    promo_type,
    billing_flavor,
    billing_ratio,
    accelerator_count,
    cpu_count,
    memory_bytes
having count(*) > 1
order by usage_date, project_id, instance_id, sku
