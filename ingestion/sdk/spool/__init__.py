"""Events on disk until they are acknowledged: they survive `kill -9` of the process that tracked them.

A spool is a folder of numbered segments, each a list of frames with length and checksum. Of our own rather than SQLite: see decision 15.
"""

from ingestion.sdk.spool.store import SpoolStore

__all__ = ["SpoolStore"]
