with expected as (
    select
        app_id, region, error_code,
        event_hour as window_start, event_hour + interval 1 hour as window_end, event_date, event_hour,
        count(*) as event_count,
        count(*) filter (status = 'success') as success_count,
        count(*) filter (status = 'failed') as failed_count,
        count(*) filter (status = 'cancelled') as cancelled_count
    from expected_events
    where family = 'download'
    group by all
),
published as (
    select
        app_id, region, error_code, window_start, window_end, event_date, event_hour, event_count, success_count, failed_count, cancelled_count
    from published_agg_hour_download_errors
    where event_date between getvariable('first_day') and getvariable('last_day')
)
select 'not published: ' || missing::varchar as offence from (from expected except all from published) as missing
union all
select 'published, but not so: ' || surplus::varchar as offence from (from published except all from expected) as surplus;
