"""Asset definitions, one noun per module."""
