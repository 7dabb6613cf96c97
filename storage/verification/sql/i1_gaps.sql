-- Offences of one partition: offsets that are missing between the first expected one and the last landed one, or landed more than once.
with landed as (
    select kafka_offset, count(*) as row_count
    from bronze
    where kafka_topic = $topic and kafka_partition = $partition
    group by kafka_offset
    union all
    select $expected_first - 1, 1
),
followed as (
    select kafka_offset, row_count, lag(kafka_offset) over (order by kafka_offset) as previous_offset from landed
)
select
    coordinates($topic, $partition, previous_offset + 1)
    || case when kafka_offset - previous_offset > 2 then '-' || (kafka_offset - 1) else '' end || ' is missing' as offence
from followed
where kafka_offset - previous_offset > 1
union all
select coordinates($topic, $partition, kafka_offset) || ' landed ' || row_count || ' times' as offence
from followed
where row_count > 1;
