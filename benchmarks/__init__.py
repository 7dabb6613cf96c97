"""Benchmarks: each prints JSON lines {"name", "ours", "other", "ratio", "target", "ok"}, both sides measured interleaved in one run."""
