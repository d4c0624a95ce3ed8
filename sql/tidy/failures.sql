-- Why did an instance fail?
-- Grain: the failure of one instance, for each document that has it.
select
    document_id,
    instance_id,
    code,
    message
from seen_failures
