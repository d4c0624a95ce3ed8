-- Do the shares of a pool add up to its cost, none below 0, and an idle one by itself?
-- Grain: one row per day and pool of which that is not so.
-- Severity: fail
select
    usage_date,
    pool_id,
    count(*) as row_count,
    min(quantity) as quantity_min,
    sum(quantity) as quantity,
    min(unit_price) as unit_price,
    sum(cost) as cost
from pool_cost_daily
group by usage_date, pool_id
having
    min(quantity) < 0
    or sum(quantity) > 25
    or count(case when is_idle then 1 end) > 1
    or (count(case when is_idle then 1 end) = 1 and count(*) > 1)
    or count(cost) not in (0, count(*))
    or count(distinct unit_price) > 1
    or sum(cost) <> cast(sum(quantity) as decimal(17, 10)) * min(unit_price)
order by usage_date, pool_id
