{# Fails for every row with more users than events, or without a user. #}
{% test distinct_users_fit_events(model, users, events) %}
    select *
    from {{ model }}
    where {{ users }} > {{ events }} or {{ users }} < 1
{% endtest %}
