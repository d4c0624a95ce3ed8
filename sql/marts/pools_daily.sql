-- Was a pool a dedicated one on each day?
-- Grain: one row per day, project and pool of a known type: the one last seen by the end
-- of the day, or before it was ever seen the first one.
with aged as (
    select
        days.usage_date,
        pool_history.project_id,
        pool_history.pool_id,
        pool_history.type,
        row_number() over (
            partition by days.usage_date, pool_history.project_id, pool_history.pool_id
            order by
                case
                    when unix_micros(pool_history.valid_from) < days.day_to_us
                        then unix_micros(pool_history.valid_from)
                    else -unix_micros(pool_history.valid_from)
                end desc,
                pool_history.sweep_id
        ) as age
    from pool_history
    cross join days
    where pool_history.change in ('new', 'changed') and pool_history.type is not null
)

select
    usage_date,
    project_id,
    pool_id,
    type,
    upper(type) = 'USER_DEFINED' as is_dedicated
from aged
where age = 1
