-- What does the service send that the reference does not have?
-- Grain: one field that the reference does not have, for each document that has it.
select
    document_id,
    instance_id,
    path,
    value
from seen_extras
