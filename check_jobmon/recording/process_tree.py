"""This process's descendants, from /proc: to end all of them after a timeout. Sends no signals itself."""

import contextlib
import os

_PR_SET_CHILD_SUBREAPER = 36

GROUP = -1
"""Stands for the parent of the members of a process group: no process has this pid."""


def adopt_orphans() -> None:
    """Become the parent of descendants whose own parent ends, so that they stay descendants (Linux; elsewhere does nothing)."""
    with contextlib.suppress(Exception):
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def process_state(pid: int) -> tuple[bytes, int, int]:
    """A process's state letter, as in proc(5), its parent's pid and its group; `Z` (zombie), 0, 0 if there is no such process."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            state, parent, group = file.read().rpartition(b")")[2].split()[:3]
    except OSError:
        return b"Z", 0, 0
    return state, int(parent), int(group)


def descendants(group: int | None) -> list[int]:
    """The pids of this process's living descendants; if a process group is given, also of its members and theirs."""
    children: dict[int, list[int]] = {}
    for pid in map(int, filter(str.isdigit, os.listdir("/proc"))):
        state, parent, in_group = process_state(pid)
        if state not in (b"Z", b"X"):
            children.setdefault(GROUP if in_group == group else parent, []).append(pid)
    found: list[int] = []
    parents = [os.getpid(), GROUP]
    while parents:
        more = children.get(parents.pop(), [])
        found += more
        parents += more
    return found
