-- Good bronze rows that lack a stamp, or whose stamp columns are not what the record's own headers say. Times in a form that DuckDB
-- does not read are left to the landing job's own tests. A row without headers has its stamps in these columns alone.
select coordinates(kafka_topic, kafka_partition, kafka_offset) || ' carries other stamps than its headers' as offence
from bronze
where event_date between getvariable('first_day') and getvariable('last_day')
    and rejection_reason is null and dlq_stage is null
    and (
        event_id is null or event_type is null or contract is null or occurred_at is null or received_at is null
        or headers is not null and (
            event_id is distinct from header(headers, 'ce_id')
            or app_id is distinct from header(headers, 'ce_source')
            or event_type is distinct from header(headers, 'ce_type')
            or contract is distinct from header(headers, 'ce_dataschema')
            or occurred_at <> try_cast(header(headers, 'ce_time') as timestamptz)
            or received_at <> try_cast(header(headers, 'ce_receivedat') as timestamptz)
        )
    );
