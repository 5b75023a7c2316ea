"""What is refused, and why."""


class Refused(Exception):
    """Something asked for was not done; its text tells a person why, and what to do instead. Nothing has changed."""
