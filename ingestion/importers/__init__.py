"""History from files: rows read, converted by a mapping to a contract's shape, judged as live events are, produced to the import topic."""
