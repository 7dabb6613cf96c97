{#-
  A day whose built hours all grow is what is published of it and what arrived; of the users that are new in their hour, those count whom no
  other hour of the day knows. Any other day is counted whole, from the built hours and the published ones.
-#}

with new_users as (
    select distinct
        app_id,
        family,
        event_type,
        platform,
        event_date,
        user_id
    from {{ ref("int_arrived_user_hours") }}
    where published_count = 0 and {{ on_growing_days("event_date") }}
),

parts as (
    select
        app_id,
        family,
        event_type,
        platform,
        event_date,
        event_count,
        unique_users
    from {{ source("published_gold", "days_at_base") }}
    where {{ on_growing_days("event_date") }}
    union all
    select
        app_id,
        family,
        event_type,
        platform,
        event_date,
        arrived_count as event_count,
        0 as unique_users
    from {{ ref("int_arrived_user_hours") }}
    where {{ on_growing_days("event_date") }}
    union all
    select
        new_users.app_id,
        new_users.family,
        new_users.event_type,
        new_users.platform,
        new_users.event_date,
        0 as event_count,
        1 as unique_users
    from new_users
    anti join {{ source("published_gold", "user_hours_at_base") }} as known
        on new_users.app_id = known.app_id
            and new_users.family = known.family
            and new_users.event_type = known.event_type
            and new_users.platform = known.platform
            and new_users.event_date = known.event_date
            and new_users.user_id = known.user_id
            and {{ near_window("known.event_date", 0) }}
    union all
    select
        app_id,
        family,
        event_type,
        platform,
        event_date,
        sum(event_count) as event_count,
        count(distinct user_id) as unique_users
    from {{ ref("int_user_hours") }}
    where not ({{ on_growing_days("event_date") }})
    group by app_id, family, event_type, platform, event_date
)

select
    app_id,
    family,
    event_type,
    platform,
    event_date::timestamptz as window_start,
    event_date::timestamptz + interval 1 day as window_end,
    event_date,
    sum(event_count)::bigint as event_count,
    sum(unique_users)::bigint as unique_users
from parts
group by app_id, family, event_type, platform, event_date
