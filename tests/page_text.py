"""What a page says, without its markup."""

import re


def words(html: str) -> str:
    """The text of `html` as it is read: no tags, and every blank is one space."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html)).replace("\N{NO-BREAK SPACE}", " ")
