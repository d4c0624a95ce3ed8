-- Who has instances?
-- Grain: one user, for each document that has it.
select
    document_id,
    user_id,
    user_name
from seen_users
