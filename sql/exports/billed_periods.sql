-- For which periods is each resource billed, and when within the bill is it not?
-- Grain: one row per resource and period: of bill lines that overlap, taken together, and
-- of the time between them in which nobody is billed for it (line_count 0).
with ordered as (
    select
        *,
        coalesce(from_us >= max(to_us) over before_it, true) as is_first
    from bill
    window before_it as (
        partition by resource_id
        order by from_us, to_us, line
        rows between unbounded preceding and 1 preceding
    )
),

numbered as (
    select
        *,
        sum(cast(is_first as integer)) over (
            partition by resource_id
            order by from_us, to_us, line
        ) as number
    from ordered
),

billed as (
    select
        resource_id,
        min(from_us) as from_us,
        max(to_us) as to_us,
        count(*) as line_count,
        min(line) as first_line,
        min(currency) as currency,
        case when min(currency) = max(currency) then sum(amount) end as amount,
        sum(rounding) as rounding
    from numbered
    group by resource_id, number
),

span as (
    select
        min(from_us) as from_us,
        max(to_us) as to_us
    from bill
),

-- What is not billed begins with the bill itself, or where a billed period ends.
beginnings as (
    select distinct
        cost_daily.instance_id as resource_id,
        span.from_us as since_us
    from cost_daily
    cross join span
    union
    select
        resource_id,
        to_us as since_us
    from billed
),

gaps as (
    select
        beginnings.resource_id,
        beginnings.since_us as from_us,
        coalesce(min(billed.from_us), max(span.to_us)) as to_us
    from beginnings
    cross join span
    left join billed
        on
        beginnings.resource_id = billed.resource_id
        and beginnings.since_us < billed.to_us
    group by beginnings.resource_id, beginnings.since_us
)

select *
from billed
union all by name
select
    *,
    0 as line_count
from gaps
where from_us < to_us
