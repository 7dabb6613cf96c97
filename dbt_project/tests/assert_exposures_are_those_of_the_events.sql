{{ config(meta={"dagster": {"ref": {"name": "experiment_exposures"}}}) }}
-- The first exposure and their number are those of the hour's events, arrived and published, whatever the model added up.
with arrived as (
    select
        app_id,
        payload ->> '$.experiment_id' as experiment_id,
        payload ->> '$.variant' as variant,
        user_id,
        event_hour,
        occurred_at
    from {{ ref("events") }}
    where
        family = 'product'
        and event_type = 'feature_exposed'
        and (payload ->> '$.experiment_id') is not null
),

published as (
    select
        app_id,
        payload ->> '$.experiment_id' as experiment_id,
        payload ->> '$.variant' as variant,
        user_id,
        event_hour,
        occurred_at
    from {{ source("published_silver", "events_at_base") }}
    where
        {{ on_window_days("event_date") }}
        and {{ in_growing_hours("event_hour") }}
        and family = 'product'
        and event_type = 'feature_exposed'
),

counted as (
    select
        app_id,
        experiment_id,
        variant,
        user_id,
        event_hour,
        min(occurred_at) as first_exposed_at,
        count(*) as exposure_count
    from (
        from arrived
        union all
        from published
        semi join arrived using (app_id, experiment_id, variant, user_id, event_hour)
    )
    group by app_id, experiment_id, variant, user_id, event_hour
)

select
    coalesce(counted.app_id, built.app_id) as app_id,
    coalesce(counted.experiment_id, built.experiment_id) as experiment_id,
    coalesce(counted.event_hour, built.event_hour) as event_hour,
    counted.exposure_count as event_count,
    built.exposure_count,
    counted.first_exposed_at as first_event_at,
    built.first_exposed_at
from counted
full outer join {{ ref("experiment_exposures") }} as built using (app_id, experiment_id, variant, user_id, event_hour)
where
    counted.exposure_count is distinct from built.exposure_count
    or counted.first_exposed_at is distinct from built.first_exposed_at
