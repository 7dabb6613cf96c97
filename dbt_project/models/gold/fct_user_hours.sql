{#- Of a growing hour only the users that are in what arrived, with their counts as published and what is added. -#}

select
    app_id,
    family,
    user_id,
    platform,
    event_type,
    event_date,
    event_hour,
    arrived_count + published_count as event_count
from {{ ref("int_arrived_user_hours") }}
