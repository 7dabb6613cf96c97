{{ config(meta={
    "description": "A winner that lies in the window is a valid record of the same id that landed before its copy. (Others lie in other hours.)",
    "dagster": {"ref": {"name": "duplicates"}},
}) }}
with records as (
    select
        app_id,
        event_id,
        ingested_at,
        kafka_topic,
        kafka_partition,
        kafka_offset,
        reason is null as is_valid
    from {{ ref("stg_bronze_events") }}
    union all
    select
        app_id,
        event_id,
        ingested_at,
        kafka_topic,
        kafka_partition,
        kafka_offset,
        outcome <> 'quarantine' as is_valid
    from {{ ref("int_published_records") }}
)

select
    losers.*,
    winners.app_id as winner_app_id,
    winners.event_id as winner_event_id,
    winners.ingested_at as winner_ingested_at
from {{ ref("duplicates") }} as losers
inner join records as winners
    on losers.winner_topic = winners.kafka_topic
        and losers.winner_partition = winners.kafka_partition
        and losers.winner_offset = winners.kafka_offset
where
    not winners.is_valid
    or winners.app_id <> losers.app_id
    or winners.event_id <> losers.event_id
    or {{ landed_order("winners") }} >= {{ landed_order("losers") }}
