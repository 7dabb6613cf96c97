{#- A user of whom nothing is published in the hour has zero there: in a growing hour one to add to its distinct users. -#}

with arrived as (
    select
        app_id,
        family,
        user_id,
        coalesce(platform, 'none') as platform,
        event_type,
        event_date,
        event_hour,
        count(*) as arrived_count
    from {{ ref("events") }}
    group by app_id, family, user_id, coalesce(platform, 'none'), event_type, event_date, event_hour
),

published as (
    select
        app_id,
        family,
        user_id,
        platform,
        event_type,
        event_hour,
        event_count
    from {{ source("published_gold", "user_hours_at_base") }}
    where
        {{ on_window_days("event_date") }}
        and {{ in_growing_hours("event_hour") }}
)

select
    arrived.app_id,
    arrived.family,
    arrived.user_id,
    arrived.platform,
    arrived.event_type,
    arrived.event_date,
    arrived.event_hour,
    arrived.arrived_count,
    coalesce(published.event_count, 0) as published_count
from arrived
left join published
    on arrived.app_id = published.app_id
        and arrived.family = published.family
        and arrived.user_id = published.user_id
        and arrived.platform = published.platform
        and arrived.event_type = published.event_type
        and arrived.event_hour = published.event_hour
