-- Which complete sweep came before each sweep, and between which sweeps is anything
-- metered?
-- Grain: one row per sweep that saw anything. The scope metered is the whole project
-- where it was ever swept whole, else each scope by itself; a status is no scope, since
-- instances leave it. A scope is one whichever API lists it, so that an instance which
-- moves from one to the other is metered on.
with listed as (
    select
        *,
        scope like 'api=notebooks&%' as is_leased,
        replace(scope, 'api=notebooks&', 'de_type=Notebook&') as place
    from sweeps
),

whole as (
    select distinct
        project_id,
        place
    from listed
    where verdict = 'complete' and place = 'de_type=Notebook&show_self=false'
),

scoped as (
    select
        listed.project_id,
        listed.sweep_id,
        listed.verdict,
        listed.place as scope,
        listed.is_leased,
        whole.place as whole_scope,
        unix_micros(listed.observed_from) as from_us,
        unix_micros(listed.observed_to) as to_us
    from listed
    left join whole on listed.project_id = whole.project_id
    where listed.observed_from is not null
),

judged as (
    select
        project_id,
        sweep_id,
        coalesce(whole_scope, scope) as scope,
        from_us,
        to_us,
        is_leased,
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
    is_leased,
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
