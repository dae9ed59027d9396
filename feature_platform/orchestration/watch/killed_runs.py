"""Runs of the command line whose process was killed: nobody else ends them.

Such a run stays under way in the event log, holds the pools of its views, and keeps repairs from
them. Dagster's daemon asks the launcher of a run whether it lives, and these have none.
"""

import os
import socket
from pathlib import Path

import dagster as dg
from dagster._core.storage.dagster_run import IN_PROGRESS_RUN_STATUSES

PROCESS = "feature_platform/process"
"""Tag of a run that is executed by the process that started it: which one that is."""
_SEPARATOR = "|"


def this_process() -> dict[str, str]:
    """The tag of runs that this process executes itself."""
    return {PROCESS: _SEPARATOR.join((*_machine(), str(os.getpid()), _started(os.getpid())))}


def end_killed_runs(instance: dg.DagsterInstance) -> list[str]:
    """Mark runs whose process on this machine is gone as failed, and give their pools back.

    Returns:
        The ids of the runs.
    """
    ended = []
    runs = instance.get_runs(dg.RunsFilter(statuses=list(IN_PROGRESS_RUN_STATUSES)))
    for run in runs:
        if not _is_gone(run.tags.get(PROCESS, "")):
            continue
        instance.report_run_failed(run, "its process was killed before the run had ended")
        instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)
        ended.append(run.run_id)
    return ended


def _is_gone(tag: str) -> bool:
    """Whether the process of a tag is known to have ended; one elsewhere cannot be looked at."""
    host, boot, space, pid, started = (tag.split(_SEPARATOR) + [""] * 5)[:5]
    here = _machine()
    if host != here[0] or not pid.isdecimal():
        return False
    if boot != here[1]:
        return True  # the machine has been started again
    if space != here[2]:
        return False  # another container, whose processes are not seen from here
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        pass  # it lives, and is somebody else's
    return started != _started(int(pid))


def _machine() -> tuple[str, str, str]:
    """This host, when it was started, and the space that its process ids are of; Linux says all."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        space = str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        boot = space = ""
    return socket.gethostname(), boot, space


def _started(pid: int) -> str:
    """When a process began, in ticks of the machine: ids are used again."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    # The name of the program, in brackets, may hold blanks; the time is the 22nd field of all.
    return stat.rpartition(")")[2].split()[19]
