-- The hour's published events, each with what live made of it: counted, imported, or left out with a reason.
create temp table published as
select
    events.*,
    date_trunc('minute', events.occurred_at) as minute,
    events.kafka_topic <> $topic as is_imported,
    ledger.reason as left_out
from lake.silver.events as events
left join ledger using (kafka_topic, kafka_partition, kafka_offset)
where events.event_date = $day and events.event_hour = $hour
