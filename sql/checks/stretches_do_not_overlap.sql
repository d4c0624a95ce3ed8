-- Does no stretch of an instance begin before the one before it has ended?
-- Grain: one row per stretch that does.
-- Severity: fail
with paired as (
    select
        project_id,
        instance_id,
        max_from_us,
        lag(max_to_us) over (
            partition by project_id, instance_id
            order by max_from_us, max_to_us
        ) as before_to_us
    from stretches
    where max_to_us > max_from_us
)

select
    project_id,
    instance_id,
    max_from_us,
    before_to_us
from paired
where before_to_us > max_from_us
order by project_id, instance_id, max_from_us
