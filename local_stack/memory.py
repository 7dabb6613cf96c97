"""How much memory a process and all that it started hold. Shared pages count once where the kernel tells (Linux: PSS)."""

import psutil

MEBIBYTE = 1024 * 1024


def tree_mebibytes(pid: int) -> float | None:
    """Resident memory of the process with its descendants in MiB; None when it is gone."""
    try:
        root = psutil.Process(pid)
        tree = [root, *root.children(recursive=True)]
    except psutil.Error:
        return None
    return round(sum(_bytes_of(process) for process in tree) / MEBIBYTE, 1)


def _bytes_of(process: psutil.Process) -> int:
    try:
        full = process.memory_full_info()
        return int(getattr(full, "pss", 0) or full.rss)
    except psutil.AccessDenied:
        try:
            return int(process.memory_info().rss)
        except psutil.Error:
            return 0
    except (psutil.Error, OSError):
        return 0
