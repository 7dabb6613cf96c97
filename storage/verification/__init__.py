"""The checker of the invariants I1-I6: one, used by tests, the command line and a Dagster check.

It reads Kafka, bronze, the lake at the newest publication and the control tables, and recomputes with SQL of its own (`sql/`):
nothing here may import or copy the dbt models, or a mistake of theirs would agree with itself. It writes nothing.
"""

from storage.verification.checker import verify
from storage.verification.errors import ServiceUnreachableError, VerificationError
from storage.verification.report import Check, Report

__all__ = ["Check", "Report", "ServiceUnreachableError", "VerificationError", "verify"]
