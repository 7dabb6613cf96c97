-- Rows of bronze per event_date within reach of the days that are checked.
select event_date, count(*) as row_count
from bronze
where event_date between getvariable('horizon_first_day') and getvariable('horizon_last_day')
group by event_date
order by event_date;
