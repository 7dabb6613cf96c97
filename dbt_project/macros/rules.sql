{#-
  The numbers that the whole platform shares. They come from the storage settings; a changed one parses the project again, which is
  right: it changes what every row means.
-#}

{#- Seconds between occurred_at and received_at beyond which an event is late. -#}
{% macro late_after_seconds() %}{{ return(env_var("TIDEMARK_STORAGE_LATE_AFTER_SECONDS", "600") | int) }}{% endmacro %}

{#- Days of occurred_at within which two records of one event id are copies of each other. -#}
{% macro deduplication_horizon_days() %}{{ return(env_var("TIDEMARK_STORAGE_DEDUPLICATION_HORIZON_DAYS", "7") | int) }}{% endmacro %}

{#- The place of a record in the order in which records landed: compared field by field, from the left. -#}
{% macro landed_order(alias) -%}
    {
        'ingested_at': {{ alias }}.ingested_at,
        'kafka_topic': {{ alias }}.kafka_topic,
        'kafka_partition': {{ alias }}.kafka_partition,
        'kafka_offset': {{ alias }}.kafka_offset
    }
{%- endmacro %}

{#- The first header of that name as text; null when absent, null or not UTF-8. -#}
{% macro header_text(headers, name) -%}
    try(decode(list_filter({{ headers }}, lambda header: header.key = '{{ name }}')[1].value))
{%- endmacro %}
