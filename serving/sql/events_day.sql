-- One row per window, event type and platform, for every window that intersects the range.
select
    window_start,
    window_end,
    event_type,
    platform,
    event_count,
    unique_users
from gold.agg_day_events
where
    app_id = $app_id
    and family = $family
    and window_start >= $first_window
    and window_start < $to_at
    and ($event_type::varchar is null or event_type = $event_type)
    and ($platform::varchar is null or platform = $platform)
order by window_start desc, event_type asc, platform asc
limit $limit
