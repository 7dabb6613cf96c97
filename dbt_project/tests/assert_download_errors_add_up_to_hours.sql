{{ config(meta={
    "description": "Regions and error codes together hold the downloads of their hour, each with one outcome.",
    "dagster": {"ref": {"name": "agg_hour_download_errors"}},
}) }}
with errors as (
    select
        app_id,
        event_hour,
        sum(event_count) as event_count,
        sum(success_count + failed_count + cancelled_count) as outcome_count
    from {{ ref("agg_hour_download_errors") }}
    group by app_id, event_hour
),

hours as (
    select
        app_id,
        event_hour,
        sum(event_count) as event_count
    from {{ ref("agg_hour_events") }}
    where family = 'download'
    group by app_id, event_hour
)

select
    coalesce(hours.app_id, errors.app_id) as app_id,
    coalesce(hours.event_hour, errors.event_hour) as event_hour,
    hours.event_count as hour_event_count,
    errors.event_count as errors_event_count,
    errors.outcome_count
from hours
full outer join errors
    on hours.app_id = errors.app_id
        and hours.event_hour = errors.event_hour
where
    hours.event_count is distinct from errors.event_count
    or hours.event_count is distinct from errors.outcome_count
