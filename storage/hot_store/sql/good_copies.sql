-- Live events that bronze holds as good, one row per key, as the copy that was landed first tells them. `days` bounds occurred_at.
create or replace temp table good_copies as
select
    app_id,
    event_id,
    min(kafka_offset) filter (where is_first) as kafka_offset,
    min(kafka_partition) filter (where is_first) as kafka_partition,
    min(occurred_at) filter (where is_first) as occurred_at
from (
    select
        app_id, event_id, kafka_partition, kafka_offset, occurred_at,
        row_number() over (partition by app_id, event_id order by ingested_at, kafka_partition, kafka_offset) = 1 as is_first
    from delta_scan($uri, version => $version)
    where kafka_topic = $topic and dlq_stage is null and rejection_reason is null and event_date >= $since::date
)
group by app_id, event_id
