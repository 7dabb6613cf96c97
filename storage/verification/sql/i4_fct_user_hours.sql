with expected as (
    select app_id, family, user_id, platform, event_type, event_date, event_hour, count(*) as event_count
    from expected_events
    group by all
),
published as (
    select app_id, family, user_id, platform, event_type, event_date, event_hour, event_count
    from lake.gold.fct_user_hours
    where event_date between getvariable('first_day') and getvariable('last_day')
)
select 'not published: ' || missing::varchar as offence from (from expected except all from published) as missing
union all
select 'published, but not so: ' || surplus::varchar as offence from (from published except all from expected) as surplus;
