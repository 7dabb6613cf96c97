{#- Of a growing hour only the exposures that are in what arrived, with what is published of them. -#}

with arrived as (
    select
        app_id,
        payload ->> '$.experiment_id' as experiment_id,
        payload ->> '$.variant' as variant,
        user_id,
        event_date,
        event_hour,
        min(occurred_at) as first_exposed_at,
        count(*) as exposure_count
    from {{ ref("events") }}
    where
        family = 'product'
        and event_type = 'feature_exposed'
        and (payload ->> '$.experiment_id') is not null
    group by app_id, payload ->> '$.experiment_id', payload ->> '$.variant', user_id, event_date, event_hour
),

published as (
    select
        app_id,
        experiment_id,
        variant,
        user_id,
        event_hour,
        first_exposed_at,
        exposure_count
    from {{ source("published_silver", "exposures_at_base") }}
    where
        {{ on_window_days("event_date") }}
        and {{ in_growing_hours("event_hour") }}
)

select
    arrived.app_id,
    arrived.experiment_id,
    arrived.variant,
    arrived.user_id,
    arrived.event_date,
    arrived.event_hour,
    least(arrived.first_exposed_at, published.first_exposed_at) as first_exposed_at,
    arrived.exposure_count + coalesce(published.exposure_count, 0) as exposure_count
from arrived
left join published
    on arrived.app_id = published.app_id
        and arrived.experiment_id = published.experiment_id
        and arrived.variant = published.variant
        and arrived.user_id = published.user_id
        and arrived.event_hour = published.event_hour
