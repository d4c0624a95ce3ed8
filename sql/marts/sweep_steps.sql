-- Which complete sweep came before each sweep, and between which sweeps is anything
-- metered?
-- Grain: one row per sweep that saw anything. The scope metered is the whole project
-- where it was ever swept whole, else each scope by itself; a status is no scope, since
-- instances leave it.
with whole as (
    select distinct
        project_id,
        scope
    from sweeps
    where verdict = 'complete' and scope = 'de_type=Notebook&show_self=false'
),

scoped as (
    select
        sweeps.project_id,
        sweeps.sweep_id,
        sweeps.verdict,
        sweeps.scope,
        whole.scope as whole_scope,
        unix_micros(sweeps.observed_from) as from_us,
        unix_micros(sweeps.observed_to) as to_us
    from sweeps
    left join whole on sweeps.project_id = whole.project_id
    where sweeps.observed_from is not null
),

judged as (
    select
        project_id,
        sweep_id,
        coalesce(whole_scope, scope) as scope,
        from_us,
        to_us,
        verdict,
        verdict = 'complete'
        and scope = coalesce(whole_scope, scope)
        and scope not like '%status=%' as is_complete
    from scoped
)

select
    project_id,
    sweep_id,
    scope,
    verdict,
    is_complete,
    from_us,
    to_us,
    max(case when is_complete then from_us end) over (
        partition by project_id, scope
        order by from_us, sweep_id
        rows between unbounded preceding and 1 preceding
    ) as previous_us,
    min(case when is_complete then to_us end)
        over (partition by project_id, scope)
        as first_us,
    max(case when is_complete then from_us end)
        over (partition by project_id, scope)
        as last_us
from judged
