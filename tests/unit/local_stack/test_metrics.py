"""One page of metrics from many."""

from prometheus_client.parser import text_string_to_metric_families

from local_stack.metrics import merge_families


def test_a_family_of_two_services_stands_once_with_both_labels() -> None:
    text = '# HELP requests_total Requests.\n# TYPE requests_total counter\nrequests_total{path="/"} %d\n'
    (family,) = merge_families({"a": text % 1, "b": text % 2})
    assert [(sample.labels["service"], sample.value) for sample in family.samples] == [("a", 1.0), ("b", 2.0)]
    assert next(iter(text_string_to_metric_families(text % 1))).name == family.name
