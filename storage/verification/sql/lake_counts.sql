-- Exact counts of the published tables.
select
    (select count(*) from lake.silver.events) as silver,
    (select count(*) from lake.silver.duplicates) as duplicates,
    (select count(*) from lake.silver.quarantine) as quarantined,
    (select count(distinct (origin_topic, origin_partition, origin_offset)) from published_redrives) as redriven,
    (select count(*) from lake.silver.events where is_late) as late,
    (select coalesce(sum(event_count), 0)::bigint from lake.gold.agg_hour_events) as published;
