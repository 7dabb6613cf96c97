-- Records that landed as good, with what their contract says about. is_filed: their stamps are complete, and the hour that they are
-- filed under is that of occurred_at (it is another one where occurred_at was implausible).
select
    kafka_topic, kafka_partition, kafka_offset, contract, event_type,
    coalesce(
        event_id <> '' and event_type <> '' and contract is not null and received_at is not null
        and event_hour = date_trunc('hour', occurred_at),
        false
    ) as is_filed,
    value
from bronze
where event_date between $first_day and $last_day and rejection_reason is null and dlq_stage is null;
