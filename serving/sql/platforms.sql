-- One row per platform; users are distinct over the whole range.
select
    platform,
    sum(event_count)::bigint as total_events,
    count(distinct user_id) as unique_users
from user_counts
group by platform
order by total_events desc, platform asc
