"""Child processes of the runner: logged, limited in time, and none left behind."""

import contextlib
import ctypes
import os
import pathlib
import signal
import subprocess
import threading
import time

PR_SET_CHILD_SUBREAPER = 36


class Stopped(Exception):
    """The run is being ended from outside."""


class Children:
    """Starts commands in process groups of their own and can end them all."""

    def __init__(self):
        self._groups = set()
        self._mutex = threading.Lock()
        self._stopping = False
        # What a child leaves behind becomes a child of ours instead of escaping, so that finish() sees it.
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)

    def run(self, command: list, log, timeout: float, nice: int = 0, environment: dict | None = None, cwd=None) -> int:
        """The exit status; 124 when the time was up. Output goes to the open file `log`."""
        log.write(f"$ {' '.join(str(word) for word in command)}\n".encode())
        log.flush()
        with self._mutex:
            if self._stopping:
                raise Stopped
            prefix = ["nice", "-n", str(nice)] if nice else []
            process = subprocess.Popen(  # pylint: disable=consider-using-with
                [*prefix, *map(str, command)], stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
                env={**os.environ, **(environment or {})}, cwd=cwd, start_new_session=True)
            self._groups.add(process.pid)
        try:
            return process.wait(timeout)
        except subprocess.TimeoutExpired:
            self._end_group(process.pid)
            process.wait()
            log.write(f"\nended: not done after {timeout:.0f} s\n".encode())
            return 124
        finally:
            self._groups.discard(process.pid)

    @staticmethod
    def _end_group(group: int) -> None:
        """First politely, so that guests are stopped and files removed."""
        for number, patience in ((signal.SIGINT, 10.0), (signal.SIGKILL, 0.0)):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(group, number)
            deadline = time.monotonic() + patience
            while time.monotonic() < deadline and _group_lives(group):
                time.sleep(0.1)

    def stop(self) -> None:
        """Ends what runs, and lets nothing new start."""
        with self._mutex:
            self._stopping = True
            groups = list(self._groups)
        for group in groups:
            self._end_group(group)

    def finish(self) -> list:
        """Ends descendants that outlived their stage; returns their command lines. To be called when all stages are done."""
        strays = []
        for _ in range(100):
            pids = _children_of_this_process()
            for pid in pids:
                command = _command_line(pid)
                if command:
                    strays.append(command)
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            if not pids:
                break
            for pid in pids:
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(pid, 0)
        return strays


def _group_lives(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    # A leader that has ended but was not waited for keeps its group alive.
    status = _stat_fields(group)
    return not status or status[0] != "Z"


def _stat_fields(pid: int) -> list:
    try:
        text = pathlib.Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    return text[text.rindex(")") + 2:].split()


def _children_of_this_process() -> list:
    """Children that run, or ended and wait to be seen."""
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit():
            fields = _stat_fields(int(entry.name))
            if fields and fields[1] == str(os.getpid()):
                found.append(int(entry.name))
    return found


def _command_line(pid: int) -> str:
    try:
        data = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return ""
    return data.replace(b"\0", b" ").decode("utf-8", "replace").strip()
