"""The source of truth of event shapes: topics, headers, reasons and the rules of each family.

Imports only the standard library, pydantic and msgspec, so that every other package may depend on it. No I/O (but for
`releases`, which reads the package's own frozen files), no clock, no environment.
"""
