-- Ledger entries above what is in bronze and in the part of Kafka that is still to land.
with landed as (
    select app_id, date_trunc('hour', received_at) as received_hour, kafka_topic as topic, count(*) as event_count
    from bronze
    where received_at is not null
    group by all
),
held as (
    select app_id, received_hour, topic, sum(event_count) as event_count
    from (from landed union all by name select app_id, received_hour, topic, event_count from unlanded)
    group by all
)
select
    'app ' || ledger.app_id || ', received ' || strftime(ledger.received_hour, '%Y-%m-%dT%H:00Z') || ', ' || ledger.topic || ': '
    || ledger.event_count || ' acknowledged, ' || coalesce(held.event_count, 0) || ' landed or waiting in Kafka' as offence
from ledger
left join held on ledger.app_id = held.app_id and ledger.received_hour = held.received_hour and ledger.topic = held.topic
where ledger.event_count > coalesce(held.event_count, 0);
