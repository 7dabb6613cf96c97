"""Errors of a redrive as a whole. A record that stays in quarantine is no error: it is an outcome with a reason.

RedriveError
├── FixError              the fix cannot be used as it is written
└── RedriveStoppedError   the broker or the database went away; the same redrive started again goes on
"""


class RedriveError(RuntimeError):
    """The redrive did not reach its end."""


class FixError(RedriveError):
    """The fix is not usable; the message names the place and what is expected."""


class RedriveStoppedError(RedriveError):
    """Something that is needed went away. What was acknowledged is noted; start the same redrive again."""
