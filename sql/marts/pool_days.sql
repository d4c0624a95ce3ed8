-- On which days was a priced pool there, and for how long?
-- Grain: one row per pool and day on which it costs something: from the day on which it
-- was first seen to that of the last, as far as metered. A tick is the ten-thousand-
-- millionth part of an hour.
with priced as (
    select distinct sku
    from prices
    where kind = 'pool'
),

metered as (
    select
        project_id,
        min(first_us) as first_us,
        max(last_us) as last_us
    from sweep_steps
    group by project_id
),

seen as (
    select
        history.pool_id,
        history.project_id,
        history.change,
        unix_micros(history.observed_at) as seen_us,
        steps.previous_us,
        steps.last_us,
        lead(history.sweep_id) over (
            partition by history.project_id, history.pool_id
            order by history.observed_at, history.sweep_id
        ) is null as is_last
    from pool_history as history
    inner join priced on history.pool_id = priced.sku
    inner join sweep_steps as steps
        on history.project_id = steps.project_id and history.sweep_id = steps.sweep_id
),

spans as (
    select
        seen.pool_id,
        min(seen.project_id) as project_id,
        min(metered.first_us) as metered_from_us,
        max(metered.last_us) as metered_to_us,
        min(seen.seen_us) as first_us,
        max(
            case
                when seen.change in ('gone', 'unlisted')
                    then coalesce(seen.previous_us, seen.seen_us)
                when
                    seen.is_last
                    then greatest(seen.seen_us, coalesce(seen.last_us, seen.seen_us))
                else seen.seen_us
            end
        ) as last_us
    from seen
    inner join metered on seen.project_id = metered.project_id
    group by seen.pool_id
)

select
    days.usage_date,
    spans.pool_id,
    spans.project_id,
    cast(
        round(
            (
                least(days.day_to_us, spans.metered_to_us)
                - greatest(days.day_from_us, spans.metered_from_us)
            ) * 25 / 9
        )
        as bigint
    ) as ticks,
    spans.metered_from_us <= days.day_from_us
    and spans.metered_to_us >= days.day_to_us
        as is_complete
from spans
inner join
    days
    on spans.first_us < days.day_to_us and spans.last_us >= days.day_from_us
where
    least(days.day_to_us, spans.metered_to_us)
    > greatest(days.day_from_us, spans.metered_from_us)
