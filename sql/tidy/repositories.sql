-- Which Git repositories do instances open?
-- Grain: one Git repository, without its credentials, for each document that has it.
select
    document_id,
    repository_id,
    branch,
    user_name,
    user_email,
    type,
    protocol,
    url,
    ssh_private_key,
    access_token
from seen_repositories
