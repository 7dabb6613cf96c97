-- Rows that silver judged otherwise than the rules do: other table, winner, reason, family, user, platform, lateness or fields.
select
    coordinates(landed.kafka_topic, landed.kafka_partition, landed.kafka_offset) || ' must be in ' || landed.expected_table
    || coalesce(' (' || landed.reason || ')', '') || ', is in ' || published.silver_table || coalesce(' (' || published.reason || ')', '')
    || case when landed.expected_table = published.silver_table then ' with other values' else '' end as offence
from landed_rows as landed
inner join published_rows as published
    on landed.kafka_topic = published.kafka_topic
    and landed.kafka_partition = published.kafka_partition
    and landed.kafka_offset = published.kafka_offset
where landed.is_due and (
    landed.expected_table <> published.silver_table
    or (
        published.silver_table = 'events' and (
            landed.family is distinct from published.family
            or landed.user_id is distinct from published.user_id
            or landed.platform is distinct from published.platform
            or landed.is_late is distinct from published.is_late
            or landed.details is distinct from published.details
        )
    )
    or (
        published.silver_table = 'duplicates' and (
            landed.payload_differs is distinct from published.payload_differs
            or landed.winner_topic is distinct from published.winner_topic
            or landed.winner_partition is distinct from published.winner_partition
            or landed.winner_offset is distinct from published.winner_offset
        )
    )
    or (
        published.silver_table = 'quarantine' and (
            published.reason is null or coalesce(landed.reason, published.reason) <> published.reason or landed.stage is distinct from published.stage
        )
    )
);
