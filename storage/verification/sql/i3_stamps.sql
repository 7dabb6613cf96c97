-- Good bronze rows whose stamp columns are not what the record's own headers say. Times in a form that DuckDB does not
-- read are left to the landing job's own tests. Rows without headers hold them in columns alone: their times are compared with the text.
select coordinates(kafka_topic, kafka_partition, kafka_offset) || ' carries other stamps than its headers' as offence
from bronze
where event_date between getvariable('first_day') and getvariable('last_day')
    and rejection_reason is null and dlq_stage is null
    and (
        event_id is distinct from stamp(headers, 'ce_id', event_id)
        or app_id is distinct from stamp(headers, 'ce_source', app_id)
        or event_type is distinct from stamp(headers, 'ce_type', event_type)
        or contract is distinct from stamp(headers, 'ce_dataschema', contract)
        or occurred_at <> try_cast(stamp(headers, 'ce_time', occurred_text) as timestamptz)
        or received_at <> try_cast(stamp(headers, 'ce_receivedat', received_text) as timestamptz)
        or headers is null and (occurred_text is null or received_text is null)
    );
