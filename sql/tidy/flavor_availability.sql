-- How free was a flavor at the sweep?
-- Grain: how free one flavor is, for each document that has it.
select
    document_id,
    flavor,
    queue_length,
    queue_left_seconds,
    instance_count
from seen_flavor_availability
