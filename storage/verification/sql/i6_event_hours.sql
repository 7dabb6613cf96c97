-- Hours of an app where what landed is not what silver accounts for.
with landed as (
    select app_id, event_hour, count(*) as landed_count
    from landed_rows
    where is_due
    group by all
),
accounted as (
    select
        app_id, event_hour,
        count(*) filter (where silver_table = 'events') as event_count,
        count(*) filter (where silver_table = 'duplicates') as duplicate_count,
        count(*) filter (where silver_table = 'quarantine') as quarantined_count
    from published_rows
    group by all
)
select
    'app ' || app_id || ', hour ' || strftime(event_hour, '%Y-%m-%dT%H:00Z') || ': ' || coalesce(landed_count, 0) || ' landed, '
    || coalesce(event_count, 0) || ' silver + ' || coalesce(duplicate_count, 0) || ' duplicates + '
    || coalesce(quarantined_count, 0) || ' quarantined' as offence
from landed
full outer join accounted using (app_id, event_hour)
where coalesce(landed_count, 0) <> coalesce(event_count, 0) + coalesce(duplicate_count, 0) + coalesce(quarantined_count, 0);
