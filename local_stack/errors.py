"""What can go wrong when the stack is built or run. Messages say what was found, what was expected and what to do next.

LocalStackError
├── RequirementError    something of this machine is missing or too old; permanent until the operator acts
├── StartError          a process did not become ready in time
└── AlreadyRunningError a stack with this home runs already
"""


class LocalStackError(Exception):
    """Any failure of the local stack that is told to the operator without a traceback."""


class RequirementError(LocalStackError):
    """Java, a port, a file or disk space that the stack needs is not there."""


class StartError(LocalStackError):
    """A process ended or stayed unready for longer than its bound."""


class AlreadyRunningError(LocalStackError):
    """Another supervisor holds this home."""
