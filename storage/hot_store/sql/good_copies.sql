-- Live events that bronze holds as good, one row per key. `occurred_at` is of the copy that landed first; what is `kept` is of the first
-- copy that no letter points to, null where all are pointed to: that one the hot store must have.
create or replace temp table good_copies as
select
    app_id,
    event_id,
    arg_min(occurred_at, place) as occurred_at,
    arg_min(kafka_partition, place) filter (where not is_lettered) as kept_partition,
    arg_min(kafka_offset, place) filter (where not is_lettered) as kept_offset,
    arg_min(occurred_at, place) filter (where not is_lettered) as kept_occurred_at
from (
    select
        copies.app_id, copies.event_id, copies.kafka_partition, copies.kafka_offset, copies.occurred_at,
        lettered.kafka_offset is not null as is_lettered,
        row_number() over (
            partition by copies.app_id, copies.event_id order by copies.ingested_at, copies.kafka_partition, copies.kafka_offset
        ) as place
    from delta_scan($uri, version => $version) as copies
    left join lettered on copies.kafka_partition = lettered.kafka_partition and copies.kafka_offset = lettered.kafka_offset
    where kafka_topic = $topic and dlq_stage is null and rejection_reason is null and event_date >= $since::date
)
group by app_id, event_id
