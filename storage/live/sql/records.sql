-- What live counted by the published tables (`counted`), and where it may have judged copies otherwise than gold: records that it may have
-- counted besides (`more`), and published ones for which it may have counted a copy (`less`). A copy says the same as its winner, at its
-- own minute; of one whose body differs the cell is not known (`unknown`).
create temp table records as
with copies as (
    select *
    from lake.silver.duplicates
    anti join left_out_near using (kafka_topic, kafka_partition, kafka_offset)
    where kafka_topic = $topic and event_date between $day::date - 1 and $day::date + 1
),

uncertain as (
    select
        copies.event_hour,
        copies.occurred_at,
        copies.payload_differs,
        copies.app_id,
        winners.user_id,
        winners.family,
        winners.event_type,
        winners.platform,
        winners.payload
    from copies
    inner join lake.silver.events as winners
        on copies.app_id = winners.app_id
            and copies.event_id = winners.event_id
            and copies.winner_topic = winners.kafka_topic
            and copies.winner_partition = winners.kafka_partition
            and copies.winner_offset = winners.kafka_offset
    left join left_out_near
        on copies.winner_topic = left_out_near.kafka_topic
            and copies.winner_partition = left_out_near.kafka_partition
            and copies.winner_offset = left_out_near.kafka_offset
    where
        winners.event_date between $day::date - ($horizon_days + 1) and $day::date + ($horizon_days + 1)
        and copies.event_hour = $hour
        -- Live did not see the winner, had forgotten it, or may have taken the copy first: it reads partitions side by side.
        and (
            copies.winner_topic <> $topic
            or left_out_near.kafka_offset is not null
            or copies.kafka_partition <> copies.winner_partition
            or copies.received_at - winners.occurred_at > to_seconds($remembered_seconds)
        )
)

select 'counted' as side, minute, app_id, user_id, family, event_type, platform, payload::json as body
from published
where not is_imported and left_out is null
union all
select 'more', date_trunc('minute', occurred_at), app_id, user_id, family, event_type, platform, payload::json
from uncertain
where not payload_differs
union all
select 'less', minute, app_id, user_id, family, event_type, platform, payload::json
from published
where
    not is_imported
    and left_out is null
    and exists (
        select 1
        from copies
        where copies.winner_topic = published.kafka_topic
            and copies.winner_partition = published.kafka_partition
            and copies.winner_offset = published.kafka_offset
            and copies.kafka_partition <> published.kafka_partition
    )
union all
select 'unknown', null, app_id, null, null, null, null, null
from uncertain
where payload_differs
union all
-- A body that only the warehouse judges.
select 'unknown', null, app_id, null, null, null, null, null
from lake.silver.quarantine
anti join ledger using (kafka_topic, kafka_partition, kafka_offset)
where event_date = $day and event_hour = $hour and kafka_topic = $topic and stage = 'silver'
