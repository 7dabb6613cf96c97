-- Hot events whose record has landed in bronze and is no good event there.
select hot.app_id, hot.event_id
from hot
inner join landed on hot.kafka_partition = landed.kafka_partition and hot.kafka_offset <= landed.last_offset
anti join good_copies on hot.app_id = good_copies.app_id and hot.event_id = good_copies.event_id
order by all
