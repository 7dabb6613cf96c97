{#- The build's hours, and as published at the base what it adds to and the other hours of those days. A view: sums read it. -#}

select
    app_id,
    family,
    user_id,
    platform,
    event_type,
    event_date,
    event_hour,
    event_count
from {{ ref("fct_user_hours") }}
union all
select
    published.app_id,
    published.family,
    published.user_id,
    published.platform,
    published.event_type,
    published.event_date,
    published.event_hour,
    published.event_count
from {{ source("published_gold", "user_hours_at_base") }} as published
anti join {{ ref("fct_user_hours") }} as built
    on published.app_id = built.app_id
        and published.family = built.family
        and published.user_id = built.user_id
        and published.platform = built.platform
        and published.event_type = built.event_type
        and published.event_hour = built.event_hour
where
    {{ on_window_days("published.event_date") }}
    and {{ in_growing_hours("published.event_hour") }}
union all
select
    app_id,
    family,
    user_id,
    platform,
    event_type,
    event_date,
    event_hour,
    event_count
from {{ source("published_gold", "user_hours_at_base") }}
where
    {{ on_window_days("event_date") }}
    and not ({{ in_window("event_hour") }})
