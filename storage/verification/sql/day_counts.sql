-- Rows of bronze per event_date; a day that only a published table has counts none.
with days as (
    select event_date, count(*) as row_count from bronze group by event_date
    union all
    select distinct event_date, 0 as row_count from lake.silver.events
    union all
    select distinct event_date, 0 as row_count from lake.silver.duplicates
    union all
    select distinct event_date, 0 as row_count from lake.silver.quarantine
    union all
    select distinct event_date, 0 as row_count from published_redrives
    union all
    select distinct event_date, 0 as row_count from published_experiment_exposures
    union all
    select distinct event_date, 0 as row_count from lake.gold.fct_user_hours
    union all
    select distinct event_date, 0 as row_count from lake.gold.agg_5min_events
    union all
    select distinct event_date, 0 as row_count from lake.gold.agg_hour_events
    union all
    select distinct event_date, 0 as row_count from lake.gold.agg_day_events
    union all
    select distinct event_date, 0 as row_count from published_agg_hour_download_errors
)
select event_date, sum(row_count)::bigint as row_count
from days
group by event_date
order by event_date;
