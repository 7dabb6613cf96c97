{#-
  A record is a duplicate when a valid copy within the horizon landed before it; the winner is the earliest of those. The window frame asks
  that of every record in one sorted pass: joining copies with copies would be quadratic in the copies of one id.
-#}

with copies as (
    select
        app_id,
        event_id,
        occurred_at,
        ingested_at,
        payload_hash,
        kafka_topic,
        kafka_partition,
        kafka_offset
    from {{ ref("stg_bronze_events") }}
    where reason is null
    union all
    select
        app_id,
        event_id,
        occurred_at,
        ingested_at,
        payload_hash,
        kafka_topic,
        kafka_partition,
        kafka_offset
    from {{ ref("int_horizon_copies") }}
),

repeated_keys as (
    select
        app_id,
        event_id
    from copies
    group by app_id, event_id
    having count(*) > 1
),

ranked as (
    select
        copies.*,
        min({{ landed_order("copies") }}) over (
            partition by copies.app_id, copies.event_id
            order by copies.occurred_at
            range between interval {{ deduplication_horizon_days() }} days preceding
            and interval {{ deduplication_horizon_days() }} days following
        ) as earliest
    from copies
    semi join repeated_keys
        on copies.app_id = repeated_keys.app_id
            and copies.event_id = repeated_keys.event_id
)

select
    losers.app_id,
    losers.event_id,
    losers.occurred_at,
    losers.received_at,
    losers.ingested_at,
    losers.event_date,
    losers.event_hour,
    losers.payload_hash <> winners.payload_hash as payload_differs,
    losers.kafka_topic,
    losers.kafka_partition,
    losers.kafka_offset,
    winners.kafka_topic as winner_topic,
    winners.kafka_partition as winner_partition,
    winners.kafka_offset as winner_offset
from ranked
inner join {{ ref("stg_bronze_events") }} as losers
    on ranked.kafka_topic = losers.kafka_topic
        and ranked.kafka_partition = losers.kafka_partition
        and ranked.kafka_offset = losers.kafka_offset
inner join copies as winners
    on ranked.earliest.kafka_topic = winners.kafka_topic
        and ranked.earliest.kafka_partition = winners.kafka_partition
        and ranked.earliest.kafka_offset = winners.kafka_offset
where ranked.earliest <> {{ landed_order("ranked") }}
