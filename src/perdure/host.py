"""The process and machine a session runs on, and whether another one's still lives."""

from __future__ import annotations

import os
import sys
from functools import lru_cache
from pathlib import Path

from perdure.types import Holder


def holder() -> Holder:
    """This process."""
    return _holder(os.getpid())


@lru_cache(maxsize=4)
def _holder(pid: int) -> Holder:
    import socket

    name = socket.gethostname().encode("utf-8", "replace").decode()
    return Holder(name, pid, _boot_id(), f"{_started(pid)} {_pid_namespace()}".strip())


def is_alive(other: Holder) -> bool | None:
    """Whether the process lives; None if it ran elsewhere, so that nobody here can tell."""
    here = holder()
    if other.host != here.host:
        return None
    if other.boot != here.boot:
        # The same name with another boot id: this machine before a restart, or a container that
        # shares its name; only the former is common, and it is certainly gone.
        return False
    ticks, _, namespace = other.started.partition(" ")
    if namespace and namespace != _pid_namespace():
        return None  # a container of this machine, whose pids are others than ours
    if other.pid == here.pid:
        return ticks == here.started.partition(" ")[0]
    return _exists(other.pid) and _started(other.pid) == ticks


def _exists(pid: int) -> bool:
    if sys.platform == "win32":
        import ctypes

        query_limited_information, still_active = 0x1000, 259
        handle = ctypes.windll.kernel32.OpenProcess(query_limited_information, False, pid)
        if not handle:
            return False
        code = ctypes.c_ulong()
        ctypes.windll.kernel32.GetExitCodeProcess(handle, ctypes.byref(code))
        ctypes.windll.kernel32.CloseHandle(handle)
        return code.value == still_active
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def _pid_namespace() -> str:
    """What tells containers of one machine apart; empty where there are none."""
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:
        return ""


def _started(pid: int) -> str:
    """Start time in clock ticks since boot (field 22 of proc(5) stat); empty where unknown."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""
    fields = stat.rpartition(")")[2].split()
    if fields[0] in "ZX":  # a zombie holds nothing any more
        return "dead"
    return fields[19]
