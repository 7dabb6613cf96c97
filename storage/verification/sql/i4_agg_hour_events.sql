with expected as (
    select
        app_id, family, event_type, platform,
        time_bucket(interval 1 hour, occurred_at) as window_start,
        time_bucket(interval 1 hour, occurred_at) + interval 1 hour as window_end,
        event_date, event_hour, count(*) as event_count, count(distinct user_id) as unique_users
    from expected_events
    group by all
),
published as (
    select app_id, family, event_type, platform, window_start, window_end, event_date, event_hour, event_count, unique_users
    from lake.gold.agg_hour_events
    where event_date between getvariable('first_day') and getvariable('last_day')
)
select 'not published: ' || missing::varchar as offence from (from expected except all from published) as missing
union all
select 'published, but not so: ' || surplus::varchar as offence from (from published except all from expected) as surplus;
