-- Does every cost lie within its bounds, and is it null just where a price is missing?
-- Grain: one row per row of cost_daily of which that is not so.
-- Severity: fail
select *
from cost_daily
where
    coalesce(billed_cost_min > billed_cost or billed_cost > billed_cost_max, false)
    or coalesce(quantity_min < 0 or billed_cost_min < 0 or billed_cost > list_cost, false)
    or (list_cost is null) <> (billed_cost is null)
    or (list_cost is null) <> (billed_cost_min is null)
    or (list_cost is null) <> (billed_cost_max is null)
    or is_priced <> (list_cost is not null)
    or is_priced <> (unit_price is not null and quantity is not null)
order by
    usage_date,
    project_id,
    instance_id,
    sku nulls last,
    charge,
    user_id nulls last,
    pool_id nulls last,
    workspace_id nulls last,
    ai_project_id nulls last,
    flavor nulls last,
    volume nulls last
