-- Hours of received_at of an app where received is not on time + late + duplicate + quarantined (rejected at the edge included).
with landed as (
    select app_id, date_trunc('hour', received_at) as received_hour, count(*) as landed_count
    from landed_rows
    where is_due
    group by all
),
accounted as (
    select
        app_id, date_trunc('hour', received_at) as received_hour,
        count(*) filter (where silver_table = 'events' and not is_late) as on_time_count,
        count(*) filter (where silver_table = 'events' and is_late) as late_count,
        count(*) filter (where silver_table = 'duplicates') as duplicate_count,
        count(*) filter (where silver_table = 'quarantine') as quarantined_count
    from published_rows
    group by all
)
select
    'app ' || coalesce(landed.app_id, accounted.app_id) || ', received '
    || coalesce(strftime(coalesce(landed.received_hour, accounted.received_hour), '%Y-%m-%dT%H:00Z'), 'never') || ': '
    || coalesce(landed_count, 0) || ' landed, ' || coalesce(on_time_count, 0) || ' on time + ' || coalesce(late_count, 0) || ' late + '
    || coalesce(duplicate_count, 0) || ' duplicates + ' || coalesce(quarantined_count, 0) || ' quarantined' as offence
from landed
full outer join accounted
    on landed.app_id = accounted.app_id and landed.received_hour is not distinct from accounted.received_hour
where coalesce(landed_count, 0)
    <> coalesce(on_time_count, 0) + coalesce(late_count, 0) + coalesce(duplicate_count, 0) + coalesce(quarantined_count, 0);
