-- One row per user: the platform is the one with most of the user's events, by name where two are equal.
select
    user_id,
    first(platform order by platform_events desc, platform asc) as platform,
    sum(platform_events)::bigint as total_events
from (
    select
        user_id,
        platform,
        sum(event_count)::bigint as platform_events
    from user_counts
    group by user_id, platform
) as per_platform
group by user_id
order by total_events desc, user_id asc
limit $limit
