-- Which workspaces do instances belong to?
-- Grain: one workspace, for each document that has it.
select
    document_id,
    workspace_id
from seen_workspaces
