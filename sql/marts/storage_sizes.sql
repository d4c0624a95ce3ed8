-- How large was each disk (evs volume), from when to when?
-- Grain: one row per volume and stretch with the same bounds of its size: between the
-- last time that it was seen in one size and the first in another it had either. Null is
-- not known.
with born as (
    select
        project_id,
        instance_id,
        min(seen_us) as born_us
    from sightings
    group by project_id, instance_id
),

seen as (
    select
        history.project_id,
        history.instance_id,
        history.volume,
        history.sweep_id,
        unix_micros(history.observed_at) as seen_us,
        steps.previous_us,
        case
            when history.change = 'gone'
                or not coalesce(lower(history.type) = 'evs', false)
                then 0
            else history.size_bytes
        end as size_bytes
    from storage_history as history
    inner join sweep_steps as steps
        on history.project_id = steps.project_id and history.sweep_id = steps.sweep_id
    -- A disk that left with its instance lasts for as long as the instance.
    left join instance_history as leaver
        on
        history.project_id = leaver.project_id
        and history.instance_id = leaver.instance_id
        and history.sweep_id = leaver.sweep_id
        and leaver.change = 'gone'
    where leaver.instance_id is null
),

compared as (
    select
        seen.*,
        -- What came with its instance is as old as that.
        coalesce(seen.seen_us <= born.born_us, false) as is_as_old,
        lag(seen.seen_us) over life as before_us,
        case
            when lag(seen.seen_us) over life is null then 0 else
                lag(seen.size_bytes) over life
        end
            as before_bytes
    from seen
    left join born
        on seen.project_id = born.project_id and seen.instance_id = born.instance_id
    window life as (
        partition by seen.project_id, seen.instance_id, seen.volume
        order by seen.seen_us, seen.sweep_id
    )
),

turned as (
    select
        *,
        case
            when is_as_old then 0
            else greatest(
                    coalesce(before_us, previous_us, seen_us),
                    coalesce(previous_us, before_us, seen_us)
                )
        end as turn_from_us,
        case when is_as_old then 0 else seen_us end as turn_to_us
    from compared
    where before_us is null or size_bytes is distinct from before_bytes
),

halved as (
    select
        *,
        turn_from_us + cast(round((turn_to_us - turn_from_us) / 2) as bigint) as turn_us,
        lead(turn_from_us) over (
            partition by project_id, instance_id, volume order by seen_us, sweep_id
        ) as until_us,
        case
            when size_bytes is not null and before_bytes is not null
                then least(size_bytes, before_bytes)
        end as less_bytes,
        case
            when size_bytes is not null and before_bytes is not null
                then greatest(size_bytes, before_bytes)
        end as more_bytes
    from turned
),

parts as (
    select
        project_id,
        instance_id,
        volume,
        less_bytes as min_bytes,
        before_bytes as size_bytes,
        more_bytes as max_bytes,
        turn_from_us as from_us,
        turn_us as to_us
    from halved
    union all
    select
        project_id,
        instance_id,
        volume,
        less_bytes as min_bytes,
        size_bytes,
        more_bytes as max_bytes,
        turn_us as from_us,
        turn_to_us as to_us
    from halved
    union all
    select
        project_id,
        instance_id,
        volume,
        size_bytes as min_bytes,
        size_bytes,
        size_bytes as max_bytes,
        turn_to_us as from_us,
        coalesce(until_us, 9000000000000000000) as to_us
    from halved
)

select *
from parts
where to_us > from_us and (max_bytes is null or max_bytes > 0)
