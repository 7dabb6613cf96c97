{{ config(meta={"dagster": {"ref": {"name": "agg_hour_events"}}}) }}
-- Events, user hours and hours give the same count and, by an independent distinct, the same users.
with counted as (
    select
        app_id,
        family,
        event_type,
        coalesce(platform, 'none') as platform,
        event_hour,
        count(*) as event_count,
        count(distinct user_id) as unique_users
    from {{ ref("events") }}
    group by app_id, family, event_type, coalesce(platform, 'none'), event_hour
),

user_hours as (
    select
        app_id,
        family,
        event_type,
        platform,
        event_hour,
        sum(event_count) as event_count
    from {{ ref("fct_user_hours") }}
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
