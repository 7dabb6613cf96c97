-- Rows of one partition as the records that they were: key, MD5 of the value, and headers, which bronze keeps in the stamps' columns where
-- they are exactly the stamps as the ingestion API writes them. One row per bronze row.
select
    kafka_offset,
    key,
    md5(value) as value_hash,
    case
        when headers is not null then headers
        when occurred_at is null then []
        else [
            header_of('ce_specversion', '1.0'),
            header_of('ce_id', event_id),
            header_of('ce_source', app_id),
            header_of('ce_type', event_type),
            header_of('ce_time', strftime(occurred_at, '%Y-%m-%dT%H:%M:%S.%fZ')),
            header_of('ce_dataschema', contract),
            header_of('ce_receivedat', strftime(received_at, '%Y-%m-%dT%H:%M:%S.%fZ'))
        ]
    end as headers
from bronze
where kafka_topic = $topic and kafka_partition = $partition and kafka_offset between $first and $last;
