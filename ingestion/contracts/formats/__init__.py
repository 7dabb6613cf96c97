"""What is written from the contracts, so that it is written once: SQL, JSON Schema, the data dictionary."""
