-- Who waits for which flavor, at which place, since when and until when?
-- Grain: one row per instance in a queue; when it ends is an estimate of the service.
select
    queue.project_id,
    queue.instance_id,
    instances.user_id,
    coalesce(instances.name, queue.queued_name) as name,
    users.user_name,
    queue.flavor,
    queue.status,
    queue.rank,
    flavor_availability.queue_length,
    queue.remaining_seconds,
    queue.began_at,
    queue.ends_at,
    queue.observed_at
from queue
left join instances
    on
    queue.project_id = instances.project_id
    and queue.instance_id = instances.instance_id
left join users
    on instances.project_id = users.project_id and instances.user_id = users.user_id
left join flavor_availability
    on
    queue.project_id = flavor_availability.project_id
    and queue.flavor = flavor_availability.flavor
order by
    queue.project_id,
    queue.flavor nulls last,
    queue.rank nulls last,
    queue.began_at nulls last,
    queue.instance_id
