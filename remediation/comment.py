"""Saying something about a case."""

from django.contrib.auth.models import User
from django.db import transaction

from audit.errors import Refused
from audit.permission import demand
from audit.trail import record
from remediation.events import CASE_COMMENTED, CaseCommented
from remediation.models import Case, CaseComment

LONGEST = 4000
"""Characters of a comment."""


class NothingSaid(Refused):
    """A comment has no text, or too much of it."""


def comment_on(case: Case, text: str, *, acting_user: User) -> CaseComment:
    """The comment `text` of `acting_user` on `case`, for good; said twice in a row, it is one. Raises `NotPermitted`, `NothingSaid`."""
    demand(acting_user, "remediation.comment_on_case")
    text = text.strip()
    if not text:
        raise NothingSaid("A comment has to say something.")
    if len(text) > LONGEST:
        raise NothingSaid(f"A comment has at most {LONGEST:,} characters; this one has {len(text):,}.")
    with transaction.atomic():
        Case.objects.select_for_update().get(pk=case.pk)
        last = case.comments.last()
        if last is not None and (last.text, last.written_by_id) == (text, acting_user.pk):
            return last
        comment = CaseComment.objects.create(case=case, text=text, written_by=acting_user)
        record(CASE_COMMENTED, case, CaseCommented(comment=comment.pk), actor=acting_user, reason=text)
    return comment
