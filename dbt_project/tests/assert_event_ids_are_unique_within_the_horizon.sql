{{ config(meta={
    "description": "Two events of one application and id lie farther apart than the deduplication horizon, those of the growing hours as published included.",
    "dagster": {"ref": {"name": "events"}},
}) }}
with built as (
    select
        app_id,
        event_id,
        occurred_at
    from {{ ref("events") }}
),

compared as (
    select * from built
    union all
    select
        published.app_id,
        published.event_id,
        published.occurred_at
    from {{ source("published_silver", "events_at_base") }} as published
    semi join built
        on published.app_id = built.app_id and published.event_id = built.event_id
    where
        {{ on_window_days("published.event_date") }}
        and {{ in_growing_hours("published.event_hour") }}
),

followed as (
    select
        app_id,
        event_id,
        occurred_at,
        lead(occurred_at) over (partition by app_id, event_id order by occurred_at) as next_occurred_at
    from compared
)

select *
from followed
where next_occurred_at - occurred_at <= interval {{ deduplication_horizon_days() }} days
