"""The demo: an incident made up by a seeded generator, and the main job done on it in front of the reader."""
