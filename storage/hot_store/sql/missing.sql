-- Good live events of the kept days that the group has passed and the hot store does not have.
select good_copies.app_id, good_copies.event_id
from good_copies
inner join passed on good_copies.kafka_partition = passed.kafka_partition and good_copies.kafka_offset < passed.next_offset
anti join hot on good_copies.app_id = hot.app_id and good_copies.event_id = hot.event_id
anti join pointers
    on good_copies.kafka_partition = pointers.kafka_partition and good_copies.kafka_offset = pointers.kafka_offset
where good_copies.occurred_at >= $first_moment
order by all
