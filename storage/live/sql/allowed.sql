-- Records that live may have counted and gold does not (`more`), or the other way round (`less`), by app: a copy whose winner live did not
-- see or had forgotten; copies under two keys, of which each side may take another one first; bodies that only the warehouse judges.
select
    app_id,
    count(*) as more,
    count(*) filter (is_ambiguous) as less
from (
    select
        copies.app_id,
        copies.kafka_partition <> copies.winner_partition as is_ambiguous
    from lake.silver.duplicates as copies
    left join lake.silver.events as winners
        on copies.app_id = winners.app_id
            and copies.event_id = winners.event_id
            and copies.winner_topic = winners.kafka_topic
            and copies.winner_partition = winners.kafka_partition
            and copies.winner_offset = winners.kafka_offset
    left join ledger
        on copies.kafka_topic = ledger.kafka_topic
            and copies.kafka_partition = ledger.kafka_partition
            and copies.kafka_offset = ledger.kafka_offset
    left join winners_left_out
        on copies.winner_topic = winners_left_out.kafka_topic
            and copies.winner_partition = winners_left_out.kafka_partition
            and copies.winner_offset = winners_left_out.kafka_offset
    where
        copies.event_date = $day
        and copies.event_hour = $hour
        and copies.kafka_topic = $topic
        and ledger.kafka_offset is null
        and (
            copies.winner_topic <> $topic
            or winners_left_out.kafka_offset is not null
            or copies.kafka_partition <> copies.winner_partition
            or copies.received_at - winners.occurred_at > to_seconds($remembered_seconds)
        )
    union all
    select
        app_id,
        false
    from lake.silver.quarantine
    where event_date = $day and event_hour = $hour and kafka_topic = $topic and stage = 'silver'
) as records
group by app_id
