{{ config(meta={
    "description": "A day that grows has, beyond its published users, those of its built events of whom none of its published hours knows.",
    "dagster": {"ref": {"name": "agg_day_events"}},
}) }}
with built_users as (
    select distinct
        app_id,
        family,
        event_type,
        coalesce(platform, 'none') as platform,
        event_date,
        user_id
    from {{ ref("events") }}
    where {{ on_growing_days("event_date") }}
),

known_users as (
    select distinct
        built_users.app_id,
        built_users.family,
        built_users.event_type,
        built_users.platform,
        built_users.event_date,
        built_users.user_id
    from built_users
    inner join {{ source("published_gold", "user_hours_at_base") }} as published
        on built_users.app_id = published.app_id
            and built_users.family = published.family
            and built_users.event_type = published.event_type
            and built_users.platform = published.platform
            and built_users.event_date = published.event_date
            and built_users.user_id = published.user_id
            and {{ near_window("published.event_date", 0) }}
),

expected as (
    select app_id, family, event_type, platform, event_date, 1 as users from built_users
    union all
    select app_id, family, event_type, platform, event_date, -1 as users from known_users
    union all
    select app_id, family, event_type, platform, event_date, unique_users as users
    from {{ source("published_gold", "days_at_base") }}
    where {{ on_growing_days("event_date") }}
    union all
    select app_id, family, event_type, platform, event_date, -unique_users as users
    from {{ ref("agg_day_events") }}
    where {{ on_growing_days("event_date") }}
)

select
    app_id,
    family,
    event_type,
    platform,
    event_date,
    sum(users) as missing_users
from expected
group by app_id, family, event_type, platform, event_date
having sum(users) <> 0
