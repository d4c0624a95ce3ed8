-- Is a row of cost_daily the only one of its day, instance, charge and what splits them?
-- Grain: one row per key that has several.
-- Severity: fail
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
    count(*) as row_count
from cost_daily
group by
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
    memory_bytes
having count(*) > 1
order by
    usage_date,
    project_id,
    instance_id,
    sku nulls last,
    charge
