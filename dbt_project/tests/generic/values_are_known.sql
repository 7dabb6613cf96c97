{# Fails for every value of the column, null aside, that is not among the accepted ones. #}
{% test values_are_known(model, column, accepted) %}
    select
        {{ column }},
        count(*) as row_count
    from {{ model }}
    where {{ column }} not in ('{{ accepted | join("', '") }}')
    group by {{ column }}
{% endtest %}
