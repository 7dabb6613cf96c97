-- Coordinates of the live records that the group could not handle, from its dead letters.
create or replace temp table pointers as
select distinct
    list_filter(headers, lambda header: header.key = 'ce_dlqpartition')[1].value::varchar::integer as kafka_partition,
    list_filter(headers, lambda header: header.key = 'ce_dlqoffset')[1].value::varchar::bigint as kafka_offset
from delta_scan($uri, version => $version)
where
    kafka_topic = $dead_letter_topic
    and dlq_stage = 'consumer'
    and list_filter(headers, lambda header: header.key = 'ce_dlqgroup')[1].value::varchar = $consumer_group
    and list_filter(headers, lambda header: header.key = 'ce_dlqtopic')[1].value::varchar = $topic
