-- Which resource pools do instances run in?
-- Grain: one resource pool, for each document that has it.
select
    document_id,
    pool_id,
    name,
    type,
    owner_project_id
from seen_pools
