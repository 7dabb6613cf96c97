-- The events that gold and exposures count, recomputed from bronze: due, valid, not a duplicate.
create or replace temp table expected_events as
select app_id, family, event_type, coalesce(platform, 'none') as platform, user_id, occurred_at, event_date, event_hour,
    region, error_code, status, experiment_id, variant
from landed_rows
where is_due and expected_table = 'events';
