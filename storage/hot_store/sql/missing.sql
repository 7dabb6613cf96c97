-- Good live events of the kept days that the hot store does not have, and whether dead letters explain it: the group has passed a copy
-- that none of its letters points to, or they point to every copy there is.
select good_copies.app_id, good_copies.event_id, good_copies.kept_offset is null as is_excused
from good_copies
left join passed on good_copies.kept_partition = passed.kafka_partition
anti join hot on good_copies.app_id = hot.app_id and good_copies.event_id = hot.event_id
where
    good_copies.occurred_at >= $first_moment
    and (
        good_copies.kept_offset is null
        or (good_copies.kept_offset < passed.next_offset and good_copies.kept_occurred_at >= $first_moment)
    )
order by all
