-- How free was a flavor at the sweep?
-- Grain: how free one flavor is,
-- for each document that has it, or once for several that have it alike.
select
    document_id,
    flavor,
    queue_length,
    queue_left_seconds,
    instance_count
from seen_flavor_availability
