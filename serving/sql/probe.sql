-- Reads the newest publication's id, and opens every table that answers come from without reading a row of it:
-- proves that the snapshot is there, and warms its catalog.
select max(publication_id) as publication_id
from operations.publications
union all
select count(*) as publication_id
from gold.fct_user_hours
where false
union all
select count(*) as publication_id
from gold.agg_5min_events
where false
union all
select count(*) as publication_id
from gold.agg_hour_events
where false
union all
select count(*) as publication_id
from gold.agg_day_events
where false
union all
select count(*) as publication_id
from silver.events
where false
