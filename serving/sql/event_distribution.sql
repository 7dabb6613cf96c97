-- One row per event type.
select
    event_type,
    sum(event_count)::bigint as total_count
from user_counts
group by event_type
order by total_count desc, event_type asc
