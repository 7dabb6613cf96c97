-- For each publication the stamp of the newest row that it has read, as text: the highest offsets lead to the rows.
with offsets as (
    select distinct
        bronze_version,
        topic.key as kafka_topic,
        place.key::integer as kafka_partition,
        (place.value)::bigint as kafka_offset
    from lake.operations.publications,
        json_each(highest_offsets) as topic,
        json_each(topic.value) as place
)
select offsets.bronze_version, strftime(max(bronze.ingested_at), '%Y-%m-%dT%H:%M:%S.%fZ') as stamp
from offsets
left join bronze using (kafka_topic, kafka_partition, kafka_offset)
group by offsets.bronze_version
order by offsets.bronze_version;
