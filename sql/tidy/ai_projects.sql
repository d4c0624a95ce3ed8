-- Which AI projects do instances belong to?
-- Grain: one AI project, for each document that has it.
select
    document_id,
    ai_project_id
from seen_ai_projects
