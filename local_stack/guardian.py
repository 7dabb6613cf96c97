"""Outlives the supervisor by a moment: when it is gone, for whatever reason, nothing that it started stays.

Standard input is a pipe that only the supervisor holds open. Its end means that the supervisor ended or was killed: then every
process with the run's mark is killed. In a session of its own and deaf to SIGTERM, so that what ends the stack does not end it first.
"""

import signal
import sys

from local_stack.marks import kill_marked


def main() -> None:
    """Waits for the end of standard input, then kills what carries the mark given as the only argument."""
    (prefix,) = sys.argv[1:]
    for deaf_to in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(deaf_to, signal.SIG_IGN)
    while sys.stdin.buffer.read(1):
        pass
    kill_marked(prefix)


if __name__ == "__main__":
    main()
