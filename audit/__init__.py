"""Who did what: the append-only trail, and how to write to it."""
