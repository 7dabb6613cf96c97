-- Bronze rows of the days [first_day, last_day] with what silver must make of them. One row per Kafka offset, consumer pointers left out.
-- is_due: the published state claims to have read it (it landed no later than its hour's cutoff).
create or replace temp table landed_rows as
with landed as (
    select
        bronze.* exclude (value, headers, key),
        bronze.ingested_at <= coalesce(cutoffs.ingested_until, getvariable('default_cutoff')::timestamptz) as is_landed_in_time,
        bronze.value,
        md5(bronze.value) as payload_hash,
        json_text(bronze.value) as body,
        json_extract_string(body, ['$.content_id', '$.session_id', '$.device_type', '$.location']) as texts,
        avro_facts.user_id as avro_user_id,
        avro_facts.region as avro_region,
        avro_facts.error_code as avro_error_code,
        avro_facts.status as avro_status,
        rejected.kafka_offset is not null as is_body_rejected
    from bronze
    left join cutoffs on bronze.event_hour = cutoffs.event_hour
    left join rejected_bodies as rejected
        on bronze.kafka_topic = rejected.kafka_topic
        and bronze.kafka_partition = rejected.kafka_partition
        and bronze.kafka_offset = rejected.kafka_offset
    left join avro_facts
        on bronze.kafka_topic = avro_facts.kafka_topic
        and bronze.kafka_partition = avro_facts.kafka_partition
        and bronze.kafka_offset = avro_facts.kafka_offset
    where bronze.event_date between getvariable('first_day') and getvariable('last_day')
        and bronze.dlq_stage is distinct from 'consumer'
)
select
    landed.* exclude (value, body, texts, avro_user_id, avro_region, avro_error_code, avro_status, is_landed_in_time),
    coalesce(landed.is_landed_in_time, false) as is_due,
    landed.rejection_reason as reason,
    case
        when landed.dlq_stage = 'edge' then 'edge'
        when landed.rejection_reason is not null then 'landing'
        when landed.is_body_rejected then 'silver'
    end as stage,
    case
        when landed.dlq_stage is not null or landed.rejection_reason is not null or landed.is_body_rejected then 'quarantine'
        when verdicts.kafka_offset is not null then 'duplicates'
        else 'events'
    end as expected_table,
    landed.received_at - landed.occurred_at > to_seconds(getvariable('late_after_seconds')) as is_late,
    family_of(landed.contract) as family,
    case
        when landed.avro_user_id is not null then stripped(landed.avro_user_id)
        when family_of(landed.contract) = 'segment' then at_most_100(filled(landed.body ->> '$.userId', landed.body ->> '$.anonymousId'))
        when family_of(landed.contract) = 'cloudevent' then at_most_100(filled(landed.body ->> '$.subject', landed.body ->> '$.source'))
        when family_of(landed.contract) = 'social' then stripped(
            if(landed.event_type in ('post_created', 'comment_created'), landed.body ->> '$.author', landed.body ->> '$.user_id')
        )
        else stripped(landed.body ->> '$.user_id')
    end as user_id,
    case when family_of(landed.contract) = 'engagement' then landed.body ->> '$.platform' end as platform,
    case
        when family_of(landed.contract) = 'engagement'
            then details_of(
                'engagement', landed.texts[1], landed.texts[2], landed.texts[3], landed.texts[4], (landed.body -> '$.metadata')::varchar, null
            )
        when family_of(landed.contract) = 'generic'
            then details_of('generic', null, null, null, null, null, (landed.body -> '$.payload')::varchar)
    end as details,
    case when family_of(landed.contract) = 'download' then coalesce(landed.avro_region, landed.body ->> '$.user_context.region') end as region,
    case when family_of(landed.contract) = 'download' then coalesce(landed.avro_error_code, landed.body ->> '$.download.error_code', 'none') end
        as error_code,
    case when family_of(landed.contract) = 'download' then coalesce(landed.avro_status, landed.body ->> '$.download.status') end as status,
    case when landed.contract = 'product/1' then landed.body ->> '$.experiment_id' end as experiment_id,
    case when landed.contract = 'product/1' then landed.body ->> '$.variant' end as variant,
    verdicts.payload_differs,
    verdicts.winner_topic,
    verdicts.winner_partition,
    verdicts.winner_offset
from landed
left join verdicts
    on landed.kafka_topic = verdicts.kafka_topic
    and landed.kafka_partition = verdicts.kafka_partition
    and landed.kafka_offset = verdicts.kafka_offset;
