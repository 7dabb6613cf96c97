"""Proof under faults: a verifiable producer, a nemesis, a reader, and one verdict over a whole running stack."""
