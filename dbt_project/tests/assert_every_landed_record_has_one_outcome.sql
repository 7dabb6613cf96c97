{{ config(meta={
    "description": "Per application and hour: landed records = events + duplicates + quarantined ones, built here or published before.",
    "dagster": {"ref": {"name": "events"}},
}) }}
with landed as (
    select
        app_id,
        event_hour,
        count(*) as landed_count
    from {{ source("bronze", "events") }}
    where
        {{ on_window_days("event_date") }}
        and {{ in_window("event_hour") }}
        and dlq_stage is distinct from 'consumer'
    group by app_id, event_hour
),

records as (
    select
        app_id,
        event_hour,
        outcome
    from {{ ref("int_published_records") }}
    union all
    select
        app_id,
        event_hour,
        'events' as outcome
    from {{ ref("events") }}
    union all
    select
        app_id,
        event_hour,
        'duplicates' as outcome
    from {{ ref("duplicates") }}
    union all
    select
        app_id,
        event_hour,
        'quarantine' as outcome
    from {{ ref("quarantine") }}
),

outcomes as (
    select
        app_id,
        event_hour,
        count(*) filter (outcome = 'events') as event_count,
        count(*) filter (outcome = 'duplicates') as duplicate_count,
        count(*) filter (outcome = 'quarantine') as quarantined_count
    from records
    group by app_id, event_hour
)

select
    coalesce(landed.app_id, outcomes.app_id) as app_id,
    coalesce(landed.event_hour, outcomes.event_hour) as event_hour,
    landed.landed_count,
    outcomes.event_count,
    outcomes.duplicate_count,
    outcomes.quarantined_count
from landed
full outer join outcomes
    on landed.app_id = outcomes.app_id and landed.event_hour = outcomes.event_hour
where landed.landed_count is distinct from outcomes.event_count + outcomes.duplicate_count + outcomes.quarantined_count
