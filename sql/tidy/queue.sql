-- Where in a queue was an instance at the sweep?
-- Grain: one instance in a queue, for each document that has it.
select
    document_id,
    instance_id,
    queued_instance_id,
    queued_name,
    de_type,
    flavor,
    status,
    rank,
    began_at,
    ends_at,
    remaining_seconds
from seen_queue
