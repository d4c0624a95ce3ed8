-- How long did an instance wait in a queue?
-- Grain: one row per instance and wait; one that still lasts is right-censored and counts
-- so far.
with waits as (
    select
        seen.project_id,
        seen.instance_id,
        seen.began_us,
        max_by(seen.flavor, seen.last_seen_us) filter (where seen.flavor is not null)
            as flavor,
        max_by(seen.status, seen.last_seen_us) filter (where seen.status is not null)
            as status,
        max(seen.last_seen_us) as last_seen_us,
        min(seen.left_us) as left_us,
        max_by(seen.expected_us, seen.last_seen_us)
        filter (where seen.expected_us is not null)
            as expected_us,
        max(scopes.last_us) as last_us
    from queue_sightings as seen
    left join scopes
        on seen.project_id = scopes.project_id and seen.scope = scopes.scope
    group by seen.project_id, seen.instance_id, seen.began_us
)

select
    project_id,
    instance_id,
    flavor,
    status,
    began_us,
    expected_us,
    case when left_us is null then greatest(last_us, last_seen_us) else left_us end
        as until_us,
    case when left_us is null then greatest(last_us, last_seen_us) else left_us end
    - began_us
        as waited_us,
    left_us is null as is_right_censored
from waits
