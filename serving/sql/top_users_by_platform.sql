-- One row per user and platform.
select
    user_id,
    platform,
    sum(event_count)::bigint as total_events
from user_counts
group by user_id, platform
order by total_events desc, user_id asc, platform asc
limit $limit
