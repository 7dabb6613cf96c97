-- Reads the newest publication's id, and one row of every table that answers come from: proves that the snapshot is there,
-- and warms its catalog and its lists of files before readers are sent to it.
select max(publication_id) as publication_id
from operations.publications
union all
select count(*) as publication_id
from (select app_id from gold.fct_user_hours limit 1) as user_hours
union all
select count(*) as publication_id
from (select app_id from gold.agg_5min_events limit 1) as five_minutes
union all
select count(*) as publication_id
from (select app_id from gold.agg_hour_events limit 1) as hours
union all
select count(*) as publication_id
from (select app_id from gold.agg_day_events limit 1) as days
union all
select count(*) as publication_id
from (select app_id from silver.events limit 1) as events
