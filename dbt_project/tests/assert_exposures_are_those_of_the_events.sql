{{ config(meta={
    "description": "First exposure and number are those of the arrived events and of what is published of the hour, which is read for no event's body.",
    "dagster": {"ref": {"name": "experiment_exposures"}},
}) }}
with parts as (
    select
        app_id,
        payload ->> '$.experiment_id' as experiment_id,
        payload ->> '$.variant' as variant,
        user_id,
        event_hour,
        occurred_at as first_exposed_at,
        1 as exposure_count,
        true as has_arrived
    from {{ ref("events") }}
    where
        family = 'product'
        and event_type = 'feature_exposed'
    union all
    select
        app_id,
        experiment_id,
        variant,
        user_id,
        event_hour,
        first_exposed_at,
        exposure_count,
        false as has_arrived
    from {{ source("published_silver", "exposures_at_base") }}
    where
        {{ on_window_days("event_date") }}
        and {{ in_growing_hours("event_hour") }}
),

counted as (
    select
        app_id,
        experiment_id,
        variant,
        user_id,
        event_hour,
        min(first_exposed_at) as first_exposed_at,
        sum(exposure_count) as exposure_count
    from parts
    where experiment_id is not null
    group by app_id, experiment_id, variant, user_id, event_hour
    having bool_or(has_arrived)
)

select
    coalesce(counted.app_id, built.app_id) as app_id,
    coalesce(counted.experiment_id, built.experiment_id) as experiment_id,
    coalesce(counted.event_hour, built.event_hour) as event_hour,
    counted.exposure_count as counted_exposures,
    built.exposure_count,
    counted.first_exposed_at as counted_first_at,
    built.first_exposed_at
from counted
full outer join {{ ref("experiment_exposures") }} as built using (app_id, experiment_id, variant, user_id, event_hour)
where
    counted.exposure_count is distinct from built.exposure_count
    or counted.first_exposed_at is distinct from built.first_exposed_at
