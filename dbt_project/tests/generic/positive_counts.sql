{# Fails for every row whose count is not above zero. #}
{% test positive_counts(model, column) %}
    select *
    from {{ model }}
    where {{ column }} <= 0
{% endtest %}
