-- Before the first landing: bronze, empty. A temporary view of this name shadows nothing else.
create or replace temp view bronze as
select
    null::varchar as kafka_topic, null::integer as kafka_partition, null::bigint as kafka_offset, null::timestamptz as kafka_timestamp,
    null::blob as key, null::blob as value, null::struct(key varchar, value blob)[] as headers, null::varchar as event_id,
    null::varchar as app_id, null::varchar as event_type, null::varchar as contract, null::timestamptz as occurred_at,
    null::timestamptz as received_at, null::timestamptz as ingested_at, null::date as event_date, null::timestamptz as event_hour,
    null::varchar as dlq_stage, null::varchar as rejection_reason
where false;
