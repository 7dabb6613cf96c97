{{ config(meta={"dagster": {"ref": {"name": "duplicates"}}}) }}
-- A winner that lies in the window is a valid record of the same id that landed before its copy. (Others lie in other hours.)
select
    losers.*,
    winners.app_id as winner_app_id,
    winners.event_id as winner_event_id,
    winners.ingested_at as winner_ingested_at
from {{ ref("duplicates") }} as losers
inner join {{ ref("stg_bronze_events") }} as winners
    on losers.winner_topic = winners.kafka_topic
        and losers.winner_partition = winners.kafka_partition
        and losers.winner_offset = winners.kafka_offset
where
    winners.reason is not null
    or winners.app_id <> losers.app_id
    or winners.event_id <> losers.event_id
    or {{ landed_order("winners") }} >= {{ landed_order("losers") }}
