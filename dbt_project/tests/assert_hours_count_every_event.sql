{{ config(meta={
    "description": "Events, built and published, user hours and hours give the same count and, by an independent distinct, the same users.",
    "dagster": {"ref": {"name": "agg_hour_events"}},
}) }}
with arrived as (
    select
        app_id,
        family,
        event_type,
        coalesce(platform, 'none') as platform,
        event_hour,
        user_id
    from {{ ref("events") }}
),

published as (
    select
        app_id,
        family,
        event_type,
        coalesce(platform, 'none') as platform,
        event_hour,
        user_id
    from {{ source("published_silver", "events_at_base") }}
    where
        {{ on_window_days("event_date") }}
        and {{ in_growing_hours("event_hour") }}
),

parts as (
    select
        app_id,
        family,
        event_type,
        platform,
        event_hour,
        count(*) as event_count,
        0 as unique_users
    from published
    group by app_id, family, event_type, platform, event_hour
    union all
    select
        app_id,
        family,
        event_type,
        platform,
        event_hour,
        count(*) as event_count,
        count(distinct user_id) as unique_users
    from arrived
    group by app_id, family, event_type, platform, event_hour
    union all
    -- Those whom the published events of the hour know, who are among its published users too.
    select
        app_id,
        family,
        event_type,
        platform,
        event_hour,
        0 as event_count,
        -count(distinct user_id) as unique_users
    from published
    semi join arrived using (app_id, family, event_type, platform, event_hour, user_id)
    group by app_id, family, event_type, platform, event_hour
    union all
    select
        app_id,
        family,
        event_type,
        platform,
        event_hour,
        0 as event_count,
        unique_users
    from {{ source("published_gold", "hours_at_base") }}
    where
        {{ on_window_days("event_date") }}
        and {{ in_growing_hours("event_hour") }}
),

counted as (
    select
        app_id,
        family,
        event_type,
        platform,
        event_hour,
        sum(event_count) as event_count,
        sum(unique_users) as unique_users
    from parts
    group by app_id, family, event_type, platform, event_hour
),

user_hours as (
    select
        app_id,
        family,
        event_type,
        platform,
        event_hour,
        sum(event_count) as event_count
    from {{ ref("int_user_hours") }}
    where {{ in_window("event_hour") }}
    group by app_id, family, event_type, platform, event_hour
)

select
    coalesce(hours.app_id, counted.app_id, user_hours.app_id) as app_id,
    coalesce(hours.event_hour, counted.event_hour, user_hours.event_hour) as event_hour,
    counted.event_count as silver_event_count,
    user_hours.event_count as user_hours_event_count,
    hours.event_count as hour_event_count,
    counted.unique_users as silver_unique_users,
    hours.unique_users as hour_unique_users
from counted
full outer join user_hours using (app_id, family, event_type, platform, event_hour)
full outer join {{ ref("agg_hour_events") }} as hours using (app_id, family, event_type, platform, event_hour)
where
    counted.event_count is distinct from user_hours.event_count
    or counted.event_count is distinct from hours.event_count
    or counted.unique_users is distinct from hours.unique_users
