-- The deduplication rule, written from its text: a valid row is a duplicate iff another valid row with the same (app_id, event_id) and
-- occurred_at within the horizon landed earlier; its winner is the earliest-landed of those. Landing order is
-- (ingested_at, kafka_topic, kafka_partition, kafka_offset).
-- rejected_bodies (made before): good rows of bronze whose body breaks its contract. copies: every valid row whose id was landed more than once. verdicts: those of them that are duplicates.
create or replace temp table copies as
with repeated as (
    select app_id, event_id
    from bronze
    where rejection_reason is null and dlq_stage is null and event_date between getvariable('horizon_first_day') and getvariable('horizon_last_day')
    group by app_id, event_id
    having count(*) > 1
)
select
    bronze.app_id, bronze.event_id, bronze.occurred_at, bronze.ingested_at,
    bronze.kafka_topic, bronze.kafka_partition, bronze.kafka_offset,
    md5(bronze.value) as payload_hash,
    row_number() over (
        partition by bronze.app_id, bronze.event_id
        order by bronze.ingested_at, bronze.kafka_topic, bronze.kafka_partition, bronze.kafka_offset
    ) as landed_rank
from bronze
semi join repeated on bronze.app_id = repeated.app_id and bronze.event_id = repeated.event_id
where bronze.rejection_reason is null and bronze.dlq_stage is null
    and bronze.event_date between getvariable('horizon_first_day') and getvariable('horizon_last_day')
    and not exists (
        select 1 from rejected_bodies as rejected
        where rejected.kafka_topic = bronze.kafka_topic
            and rejected.kafka_partition = bronze.kafka_partition
            and rejected.kafka_offset = bronze.kafka_offset
    );

create or replace temp table verdicts as
with ranked as (
    select
        *,
        min(landed_rank) over (
            partition by app_id, event_id order by occurred_at
            range between to_days(getvariable('horizon_days')) preceding and to_days(getvariable('horizon_days')) following
        ) as winner_rank
    from copies
)
select
    loser.kafka_topic, loser.kafka_partition, loser.kafka_offset,
    winner.kafka_topic as winner_topic, winner.kafka_partition as winner_partition, winner.kafka_offset as winner_offset,
    loser.payload_hash <> winner.payload_hash as payload_differs
from ranked as loser
inner join copies as winner
    on loser.app_id = winner.app_id and loser.event_id = winner.event_id and loser.winner_rank = winner.landed_rank
where loser.winner_rank < loser.landed_rank;
