-- Gold's windows of the hour that live minutes roll up to.
select 'gold.agg_5min_events' as table_name, window_start, app_id, [family, event_type, platform] as keys, event_count, unique_users
from lake.gold.agg_5min_events
where event_date = $day and event_hour = $hour
union all
select 'gold.agg_hour_events', window_start, app_id, [family, event_type, platform], event_count, unique_users
from lake.gold.agg_hour_events
where event_date = $day and event_hour = $hour
