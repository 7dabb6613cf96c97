-- Due bronze rows that silver holds no row of, and coordinates that silver holds more than once.
select coordinates(landed.kafka_topic, landed.kafka_partition, landed.kafka_offset) || ' is in no silver table' as offence
from landed_rows as landed
anti join published_rows as published
    on landed.kafka_topic = published.kafka_topic
    and landed.kafka_partition = published.kafka_partition
    and landed.kafka_offset = published.kafka_offset
where landed.is_due
union all
select
    coordinates(kafka_topic, kafka_partition, kafka_offset) || ' is in silver ' || count(*) || ' times: '
    || string_agg(silver_table, ', ' order by silver_table) as offence
from published_rows
group by kafka_topic, kafka_partition, kafka_offset
having count(*) > 1;
