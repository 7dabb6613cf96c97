"""docs/metrics.md is what the processes export."""

from scripts.env_example import ROOT
from scripts.metrics_doc import render


def test_every_metric_is_documented_as_it_is_exported() -> None:
    assert (ROOT / "docs" / "metrics.md").read_text() == render(), (
        "run: python -m scripts.metrics_doc > docs/metrics.md"
    )
