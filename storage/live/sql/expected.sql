-- What live must have counted, by minute, computed from the published events.
create temp table expected as
with counted as (
    select
        *,
        payload::json as body
    from published
    where not is_imported and left_out is null
),

cells as (
    select
        app_id, minute, user_id, body, 'events' as breakdown,
        [family, event_type, coalesce(platform, 'none')] as keys
    from counted
    union all
    select app_id, minute, user_id, body, 'content', [body ->> '$.content.content_id', body ->> '$.user_context.region']
    from counted where family = 'download'
    union all
    select app_id, minute, user_id, body, 'device', [body ->> '$.user_context.device', body ->> '$.user_context.os_version']
    from counted where family = 'download'
    union all
    select
        app_id, minute, user_id, body, 'error',
        [body ->> '$.user_context.region', coalesce(body ->> '$.download.error_code', 'none')]
    from counted where family = 'download'
    union all
    select app_id, minute, user_id, null, 'hashtag', [unnest(list_distinct((body ->> '$.hashtags[*]')))]
    from counted where family = 'social' and event_type = 'post_created'
)

select
    minute as window_start,
    app_id,
    breakdown,
    keys,
    count(*) as event_count,
    count(*) filter (body ->> '$.download.status' = 'success') as success_count,
    count(*) filter (body ->> '$.download.status' = 'failed') as failed_count,
    count(*) filter (body ->> '$.download.status' = 'cancelled') as cancelled_count,
    coalesce(sum((body ->> '$.content.size_mb')::double::decimal(18, 6)), 0) as size_mb,
    coalesce(sum((body ->> '$.download.duration_seconds')::double::decimal(18, 6)) filter (body ->> '$.download.status' = 'success'), 0)
        as duration_seconds,
    coalesce(sum((body ->> '$.download.speed_mbps')::double::decimal(18, 6)) filter (body ->> '$.download.status' = 'success'), 0)
        as speed_mbps,
    count(distinct user_id) as unique_users
from cells
group by all
