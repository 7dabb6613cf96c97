-- Duplicates whose winner is no valid row with the same id that landed earlier within the horizon.
select
    coordinates(published.kafka_topic, published.kafka_partition, published.kafka_offset) || ' names a winner '
    || coalesce(coordinates(published.winner_topic, published.winner_partition, published.winner_offset), 'null')
    || ' that is none' as offence
from published_rows as published
left join copies as winner
    on published.winner_topic = winner.kafka_topic
    and published.winner_partition = winner.kafka_partition
    and published.winner_offset = winner.kafka_offset
    and published.app_id = winner.app_id
    and published.event_id = winner.event_id
    and (winner.ingested_at, winner.kafka_topic, winner.kafka_partition, winner.kafka_offset)
        < (published.ingested_at, published.kafka_topic, published.kafka_partition, published.kafka_offset)
    and abs(epoch_us(winner.occurred_at) - epoch_us(published.occurred_at)) <= getvariable('horizon_days') * 86400000000
where published.silver_table = 'duplicates' and winner.kafka_offset is null;
