-- What did each priced pool cost, and whose share was it?
-- Grain: one row per project, pool and user; null is an instance without a user, and the
-- time in which nothing ran in the pool (is_idle). Shares are by running time and
-- accelerators, and add up to what the pool cost.
with pools_named as (
    select
        project_id,
        pool_id,
        max_by(name, observed_at) filter (where name is not null) as pool_name
    from pool_history
    group by project_id, pool_id
),

users_named as (
    select
        project_id,
        user_id,
        max_by(user_name, observed_at) filter (where user_name is not null) as user_name
    from user_history
    group by project_id, user_id
)

select
    pool_cost_daily.project_id,
    pool_cost_daily.pool_id,
    pool_cost_daily.user_id,
    pools_named.pool_name,
    users_named.user_name,
    max(pool_cost_daily.currency) as currency,
    count(distinct pool_cost_daily.instance_id) as instance_count,
    sum(pool_cost_daily.quantity) as pool_hours,
    sum(pool_cost_daily.cost) as pool_cost,
    sum(
        case
            when pool_cost_daily.is_priced then cast(0 as decimal(20, 10))
            else pool_cost_daily.quantity
        end
    ) as unpriced_pool_hours,
    pool_cost_daily.is_idle
from pool_cost_daily
left join pools_named
    on
    pool_cost_daily.project_id = pools_named.project_id
    and pool_cost_daily.pool_id = pools_named.pool_id
left join users_named
    on
    pool_cost_daily.project_id = users_named.project_id
    and pool_cost_daily.user_id = users_named.user_id
where pool_cost_daily.usage_date >= $from and pool_cost_daily.usage_date < $to
group by
    pool_cost_daily.project_id,
    pool_cost_daily.pool_id,
    pool_cost_daily.user_id,
    pools_named.pool_name,
    users_named.user_name,
    pool_cost_daily.is_idle
order by
    pool_cost_daily.pool_id,
    pool_cost desc nulls last,
    pool_hours desc,
    pool_cost_daily.project_id,
    pool_cost_daily.user_id nulls last,
    pool_cost_daily.is_idle
