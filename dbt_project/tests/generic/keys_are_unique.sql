{# Fails for every key that more than one row has, with the number of those rows. #}
{% test keys_are_unique(model, columns) %}
    select
        {{ columns | join(", ") }},
        count(*) as row_count
    from {{ model }}
    group by {{ columns | join(", ") }}
    having count(*) > 1
{% endtest %}
