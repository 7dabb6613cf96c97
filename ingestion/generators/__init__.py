"""Seeded event streams with their ground truth, for demos, load and tests."""

from ingestion.generators.engagement import EngagementStream, GeneratedEvent, StreamPlan
from ingestion.generators.truth import GroundTruth

__all__ = ["EngagementStream", "GeneratedEvent", "GroundTruth", "StreamPlan"]
