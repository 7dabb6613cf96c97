-- Event counts per user, platform and event type of one app in [from_at, to_at).
-- Whole hours come from gold; the hours that the range starts or ends within are counted event by event in silver.
select
    user_id,
    platform,
    event_type,
    event_count
from gold.fct_user_hours
where
    app_id = $app_id
    and family = $family
    and event_hour >= $whole_from
    and event_hour < $whole_to
union all
select
    user_id,
    platform,
    event_type,
    1 as event_count
from silver.events
where
    app_id = $app_id
    and family = $family
    and event_hour in ($head_hour, $tail_hour)
    and occurred_at >= $from_at
    and occurred_at < $to_at
