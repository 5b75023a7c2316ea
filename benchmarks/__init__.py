"""Measures the main job against a floor and against Django's own ways. `make bench` runs it; docs/performance.md tells of it."""
