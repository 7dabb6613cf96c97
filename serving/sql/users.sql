-- One row per user and platform.
select
    user_id,
    platform,
    sum(event_count)::bigint as total_events,
    coalesce(sum(event_count) filter (where event_type = 'like'), 0)::bigint as likes,
    coalesce(sum(event_count) filter (where event_type = 'comment'), 0)::bigint as comments,
    coalesce(sum(event_count) filter (where event_type = 'share'), 0)::bigint as shares,
    coalesce(sum(event_count) filter (where event_type = 'view'), 0)::bigint as views,
    coalesce(sum(event_count) filter (where event_type = 'click'), 0)::bigint as clicks
from user_counts
where
    ($user_id::varchar is null or user_id = $user_id)
    and ($platform::varchar is null or platform = $platform)
group by user_id, platform
order by total_events desc, user_id asc, platform asc
limit $limit
