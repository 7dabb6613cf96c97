"""Who runs a server that refuses to run as root, and which folders such a user can reach. Asks nothing when we are not root."""

import os
import pwd
import stat
from pathlib import Path

from local_stack.errors import RequirementError

CANDIDATES = ("postgres", "nobody")
READABLE_ROOTS = (Path("/var/lib/tidemark"), Path("/var/tmp/tidemark-root"))  # noqa: S108 - ownership is checked


def unprivileged_user() -> str | None:
    """The user to change to: None when we are not root.

    Raises: RequirementError when we are root and the machine knows no such user.
    """
    if os.geteuid() != 0:
        return None
    for name in CANDIDATES:
        try:
            pwd.getpwnam(name)
        except KeyError:
            continue
        return name
    raise RequirementError(f"PostgreSQL must not run as root and none of the users {CANDIDATES} exists; add one")


def is_reachable_by(folder: Path, user: str) -> bool:
    """True when the user may pass every folder on the way, this one included. Supplementary groups are not counted."""
    entry = pwd.getpwnam(user)
    resolved = folder.resolve()
    return all(_may_pass(path.stat(), entry) for path in (resolved, *resolved.parents))


def give_to(folder: Path, user: str | None) -> None:
    """Makes the folder and all in it the user's. Nothing to do when it is already, or when we are not root."""
    if user is None:
        return
    entry = pwd.getpwnam(user)
    if folder.stat().st_uid == entry.pw_uid:
        return
    for path in (*folder.rglob("*"), folder):
        os.chown(path, entry.pw_uid, entry.pw_gid, follow_symlinks=False)


def readable_root() -> Path:
    """A folder of root's own that everybody can pass: for binaries and data whose usual place nobody else can reach.

    Raises: RequirementError when none can be made.
    """
    for folder in READABLE_ROOTS:
        try:
            folder.mkdir(mode=0o755, parents=True, exist_ok=True)
            found = folder.lstat()
        except OSError:
            continue
        # Somebody else's folder, or a link, in a place where anybody can write, is not ours to trust.
        if stat.S_ISDIR(found.st_mode) and found.st_uid == 0 and not found.st_mode & 0o022:
            folder.chmod(0o755)
            return folder
    raise RequirementError(
        f"as root, PostgreSQL needs one of {[str(path) for path in READABLE_ROOTS]} writable by root only"
    )


def _may_pass(found: os.stat_result, entry: pwd.struct_passwd) -> bool:
    if found.st_uid == entry.pw_uid:
        return bool(found.st_mode & stat.S_IXUSR)
    if found.st_gid == entry.pw_gid:
        return bool(found.st_mode & stat.S_IXGRP)
    return bool(found.st_mode & stat.S_IXOTH)
