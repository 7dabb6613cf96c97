"""Seeded event streams of every family with their ground truth, for demos, load and tests."""

from ingestion.generators.engagement import EngagementStream
from ingestion.generators.stream import GeneratedEvent, StreamPlan
from ingestion.generators.truth import GroundTruth

__all__ = ["EngagementStream", "GeneratedEvent", "GroundTruth", "StreamPlan"]
