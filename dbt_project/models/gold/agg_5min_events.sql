{#-
  Distinct users cannot be added to, so the windows of a growing hour that something arrived in are counted again, from what arrived and the
  events that are published of these windows alone; the hour's other windows stay as they are published.
-#}

with arrived as (
    select
        app_id,
        family,
        event_type,
        coalesce(platform, 'none') as platform,
        time_bucket(interval 5 minutes, occurred_at) as window_start,
        event_date,
        event_hour,
        user_id
    from {{ ref("events") }}
),

touched as (
    select distinct
        app_id,
        family,
        event_type,
        platform,
        window_start
    from arrived
),

published as (
    select
        app_id,
        family,
        event_type,
        coalesce(platform, 'none') as platform,
        time_bucket(interval 5 minutes, occurred_at) as window_start,
        event_date,
        event_hour,
        user_id
    from {{ source("published_silver", "events_at_base") }}
    where
        {{ on_window_days("event_date") }}
        and {{ in_growing_hours("event_hour") }}
        and occurred_at >= (select min(touched.window_start) from touched)
        and occurred_at < (select max(touched.window_start) from touched) + interval 5 minutes
),

events as (
    select * from arrived
    union all
    select published.*
    from published
    semi join touched
        on published.app_id = touched.app_id
            and published.family = touched.family
            and published.event_type = touched.event_type
            and published.platform = touched.platform
            and published.window_start = touched.window_start
)

select
    app_id,
    family,
    event_type,
    platform,
    window_start,
    window_start + interval 5 minutes as window_end,
    event_date,
    event_hour,
    count(*) as event_count,
    count(distinct user_id) as unique_users
from events
group by app_id, family, event_type, platform, window_start, event_date, event_hour
union all
select
    untouched.app_id,
    untouched.family,
    untouched.event_type,
    untouched.platform,
    untouched.window_start,
    untouched.window_end,
    untouched.event_date,
    untouched.event_hour,
    untouched.event_count,
    untouched.unique_users
from {{ source("published_gold", "five_minutes_at_base") }} as untouched
anti join touched
    on untouched.app_id = touched.app_id
        and untouched.family = touched.family
        and untouched.event_type = touched.event_type
        and untouched.platform = touched.platform
        and untouched.window_start = touched.window_start
where
    {{ on_window_days("untouched.event_date") }}
    and {{ in_growing_hours("untouched.event_hour") }}
