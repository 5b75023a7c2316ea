"""Commands as people and scripts give them, in this process."""

import json
from io import StringIO
from typing import Any

from django.core.management import call_command


def told(*command: str) -> str:
    """What a command says to a person."""
    out = StringIO()
    call_command(*command, stdout=out, stderr=StringIO())
    return out.getvalue()


def asked(*command: str) -> dict[str, Any]:
    """A command's answer to a script: exactly one JSON object on stdout."""
    answer = json.loads(told(*command, "--json"))
    assert isinstance(answer, dict)
    return answer
