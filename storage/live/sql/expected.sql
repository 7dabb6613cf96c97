-- The cells of `records`: what live must have counted, and by how much it may differ, by minute.
create temp table expected as
with measured as (
    select
        *,
        case when family = 'download' then body end as measures
    from records
    where side <> 'unknown'
),

cells as (
    select *, 'events' as breakdown, [family, event_type, coalesce(platform, 'none')] as keys
    from measured
    union all
    select *, 'content', [body ->> '$.content.content_id', body ->> '$.user_context.region']
    from measured where family = 'download'
    union all
    select *, 'device', [body ->> '$.user_context.device', body ->> '$.user_context.os_version']
    from measured where family = 'download'
    union all
    select *, 'error', [body ->> '$.user_context.region', coalesce(body ->> '$.download.error_code', 'none')]
    from measured where family = 'download'
    union all
    select *, 'hashtag', [unnest(list_distinct((body ->> '$.hashtags[*]')))]
    from measured where family = 'social' and event_type = 'post_created'
),

amounts as (
    select
        side,
        minute,
        app_id,
        breakdown,
        -- As live stores a text: PostgreSQL knows no NUL.
        list_transform(keys, lambda key: replace(key, chr(0), chr(65533))) as keys,
        user_id,
        measures ->> '$.download.status' as status,
        try_cast(try_cast(measures ->> '$.content.size_mb' as double) as decimal(18, 6)) as size_mb,
        try_cast(try_cast(measures ->> '$.download.duration_seconds' as double) as decimal(18, 6)) as duration_seconds,
        try_cast(try_cast(measures ->> '$.download.speed_mbps' as double) as decimal(18, 6)) as speed_mbps
    from cells
)

select
    side,
    minute as window_start,
    app_id,
    breakdown,
    keys,
    count(*) as event_count,
    count(*) filter (status = 'success') as success_count,
    count(*) filter (status = 'failed') as failed_count,
    count(*) filter (status = 'cancelled') as cancelled_count,
    coalesce(sum(size_mb), 0) as size_mb,
    coalesce(sum(duration_seconds) filter (status = 'success'), 0) as duration_seconds,
    coalesce(sum(speed_mbps) filter (status = 'success'), 0) as speed_mbps,
    count(distinct user_id) as unique_users
from amounts
group by all
