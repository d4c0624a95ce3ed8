-- Who costs the most, and how much of all is that?
-- Grain: one row per project and user, the dearest first; null is an instance without a
-- user. One whose instances have no price has no rank.
with named as (
    select
        project_id,
        user_id,
        max_by(user_name, observed_at) filter (where user_name is not null) as user_name
    from user_history
    group by project_id, user_id
),

spent as (
    select
        project_id,
        user_id,
        max(currency) as currency,
        count(distinct instance_id) as instance_count,
        sum(running_hours) as running_hours,
        sum(accelerator_hours) as accelerator_hours,
        sum(list_cost) as list_cost,
        sum(billed_cost_min) as billed_cost_min,
        sum(billed_cost) as billed_cost,
        sum(billed_cost_max) as billed_cost_max,
        sum(unpriced_hours) as unpriced_hours,
        sum(unpriced_gb_hours) as unpriced_gb_hours
    from charges
    where usage_date >= $from and usage_date < $to
    group by project_id, user_id
),

shared as (
    select
        *,
        cast(sum(billed_cost) over () as double) as all_cost,
        cast(
            sum(billed_cost) over (
                order by billed_cost desc nulls last, project_id, user_id nulls last
                rows between unbounded preceding and current row
            ) as double
        ) as cost_so_far,
        case
            when billed_cost is not null
                then rank() over (order by billed_cost desc nulls last)
        end as spender_rank
    from spent
)

select
    shared.project_id,
    shared.user_id,
    named.user_name,
    shared.currency,
    shared.spender_rank,
    shared.instance_count,
    shared.running_hours,
    shared.accelerator_hours,
    shared.list_cost,
    shared.billed_cost_min,
    shared.billed_cost,
    shared.billed_cost_max,
    six_decimals(100 * cast(shared.billed_cost as double) / nullif(shared.all_cost, 0))
        as billed_percent,
    case
        when shared.billed_cost is not null
            then
                six_decimals(100 * shared.cost_so_far / nullif(shared.all_cost, 0))
    end as billed_percent_so_far,
    shared.unpriced_hours,
    shared.unpriced_gb_hours
from shared
left join named
    on shared.project_id = named.project_id and shared.user_id = named.user_id
order by
    shared.billed_cost desc nulls last,
    shared.project_id,
    shared.user_id nulls last
