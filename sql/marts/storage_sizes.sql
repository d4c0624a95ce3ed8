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
        leaver.instance_id is not null or history.change = 'unread' as is_leaver,
        case
            when history.change in ('gone', 'unlisted')
                or not coalesce(lower(history.type) = 'evs', false)
                then 0
            else history.size_bytes
        end as size_bytes
    from storage_history as history
    inner join sweep_steps as steps
        on history.project_id = steps.project_id and history.sweep_id = steps.sweep_id
    left join instance_history as leaver
        on
        history.project_id = leaver.project_id
        and history.instance_id = leaver.instance_id
        and history.sweep_id = leaver.sweep_id
        and leaver.change in ('gone', 'unlisted')
),

counted as (
    select
        *,
        -- Rows of a leaver count with the row that ends them.
        coalesce(
            sum(case when is_leaver then 0 else 1 end) over (
                partition by project_id, instance_id, volume
                order by seen_us, sweep_id
                rows between unbounded preceding and 1 preceding
            ),
            0
        ) as there_count
    from seen
),

-- A disk that left with its instance, or was unread, lasts as long as the instance, which
-- may come back.
rejoined as (
    select
        *,
        nullif(
            min(coalesce(previous_us, 0)) over (
                partition by project_id, instance_id, volume, there_count
            ),
            0
        ) as known_us
    from counted
),

compared as (
    select
        rejoined.*,
        -- What came with its instance is as old as that.
        coalesce(rejoined.seen_us <= born.born_us, false) as is_as_old,
        lag(rejoined.seen_us) over life as before_us,
        case
            when lag(rejoined.seen_us) over life is null then 0 else
                lag(rejoined.size_bytes) over life
        end
            as before_bytes
    from rejoined
    left join born
        on rejoined.project_id = born.project_id
        and rejoined.instance_id = born.instance_id
    where not rejoined.is_leaver
    window life as (
        partition by rejoined.project_id, rejoined.instance_id, rejoined.volume
        order by rejoined.seen_us, rejoined.sweep_id
    )
),

turned as (
    select
        *,
        case
            when is_as_old then 0
            else greatest(
                    coalesce(before_us, known_us, seen_us),
                    coalesce(known_us, before_us, seen_us)
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
        case when less_bytes is not null then before_bytes end as size_bytes,
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
        case when less_bytes is not null then size_bytes end as size_bytes,
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
