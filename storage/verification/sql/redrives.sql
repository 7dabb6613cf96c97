-- bronze_redrives: records that say which quarantined record they recover. One row per record; few, whatever bronze holds.
create or replace temp table bronze_redrives as
with named as (
    select
        app_id, event_id, received_at, ingested_at, event_date, event_hour, kafka_topic, kafka_partition, kafka_offset,
        string_split(header(headers, 'ce_redriveof'), '/') as origin
    from bronze
    where headers is not null and dlq_stage is null
)
select
    * exclude (origin),
    origin[1] as origin_topic,
    try_cast(origin[2] as integer) as origin_partition,
    try_cast(origin[3] as bigint) as origin_offset
from named
where len(origin) = 3 and try_cast(origin[2] as integer) is not null and try_cast(origin[3] as bigint) is not null;
