-- Headers of the consumers' dead letters that have landed.
select headers
from delta_scan($uri, version => $version)
where kafka_topic = $topic and dlq_stage = 'consumer' and headers is not null
