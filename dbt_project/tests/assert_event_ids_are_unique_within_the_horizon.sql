-- Two events of one application and id lie farther apart than the deduplication horizon.
with followed as (
    select
        app_id,
        event_id,
        occurred_at,
        lead(occurred_at) over (partition by app_id, event_id order by occurred_at) as next_occurred_at
    from {{ ref("events") }}
)

select *
from followed
where next_occurred_at - occurred_at <= interval {{ deduplication_horizon_days() }} days
