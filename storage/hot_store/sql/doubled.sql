-- Keys of which the hot store holds more than one event, under different times.
select app_id, event_id
from hot
group by app_id, event_id
having count(*) > 1
order by all
