-- Where the ledger and the published rows disagree about what is late. One row per disagreement.
select format('{}/{}/{} is late in silver.events and not in the ledger', kafka_topic, kafka_partition, kafka_offset) as offence
from published
where is_late and not is_imported and left_out is null
union all
select format('{}/{}/{} is late in the ledger and not in silver.events', kafka_topic, kafka_partition, kafka_offset)
from published
where not is_late and left_out = 'late'
union all
select format('{}/{}/{} is in the ledger and nowhere in silver', ledger.kafka_topic, ledger.kafka_partition, ledger.kafka_offset)
from ledger
anti join published using (kafka_topic, kafka_partition, kafka_offset)
anti join lake.silver.duplicates as duplicates using (kafka_topic, kafka_partition, kafka_offset)
anti join lake.silver.quarantine as quarantine using (kafka_topic, kafka_partition, kafka_offset)
