"""Every status of a plan and a job, every arrow between them, and why it is there.

The database knows the same arrows (`remediation/sql/`), and a test holds the two against each other.
"""

from remediation.models import Job, Plan

P = Plan.Status
J = Job.Status

PLAN_ARROWS: dict[tuple[str, str], str] = {
    (
        P.PREVIEWING,
        P.READY,
    ): "Every chunk was scanned; manifest and digest are sealed, and people can decide.",
    (
        P.PREVIEWING,
        P.FAILED,
    ): "The preview's job failed, or rows moved under it, so that it does not show one state.",
    (P.PREVIEWING, P.SUPERSEDED): "Somebody previewed again before it was done.",
    (P.READY, P.APPROVED): "As many people as the policy asks approved exactly this digest.",
    (P.READY, P.REJECTED): "Somebody entitled to approve said no. One no is enough.",
    (P.READY, P.SUPERSEDED): "Somebody previewed again: only the newest preview can be approved.",
    (
        P.APPROVED,
        P.EXECUTING,
    ): "Its one apply job was started, with digest, policy, approvers and code checked again.",
    (P.APPROVED, P.SUPERSEDED): "Somebody previewed again: what was approved is not to be applied any more.",
    (
        P.EXECUTING,
        P.EXECUTED,
    ): "Every chunk of its job is done. Conflicts are outcomes, not a failure of the plan.",
    (P.EXECUTING, P.STOPPED): "Its job failed part of the way. What was applied stands, and can be reverted.",
}

JOB_ARROWS: dict[tuple[str, str], str] = {
    (J.RUNNING, J.FINISHED): "Every chunk is done.",
    (J.RUNNING, J.FAILED): "A chunk was refused, or crashed too often; no chunk commits after this.",
    (
        J.RUNNING,
        J.PAUSING,
    ): "Somebody paused it, or a stage's gate did. Nothing more is leased; a chunk may still commit.",
    (J.PAUSING, J.PAUSED): "Nothing of it is being committed any more, and nothing will be.",
    (J.PAUSED, J.RUNNING): "Somebody let it go on.",
    (J.RUNNING, J.CANCELLING): "Somebody cancelled it. Nothing more is leased; a chunk may still commit.",
    (J.PAUSING, J.CANCELLING): "Somebody cancelled it before it stood still.",
    (J.PAUSED, J.CANCELLING): "Somebody cancelled it while it was paused.",
    (J.CANCELLING, J.CANCELLED): "Nothing of it commits any more. What it did stands, and can be reverted.",
    (J.PAUSING, J.FAILED): "Its preview was replaced by a newer one.",
    (J.PAUSED, J.FAILED): "Its preview was replaced by a newer one.",
}

OPEN_PLAN = (P.PREVIEWING, P.READY, P.APPROVED, P.EXECUTING)
"""A case has at most one plan in these."""
APPLIED_PLAN = (P.EXECUTED, P.STOPPED)
"""Plans that have moved pointers and move no more: what they did can be verified, and taken back."""
