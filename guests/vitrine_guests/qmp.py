"""A small client of QEMU's machine protocol. A socket serves one client, so it is
opened for a few commands and closed again."""

import json
import socket
import time


class QmpError(Exception):
    """QEMU refused a command, or did not answer."""


class Qmp:
    """One connection: `with Qmp(path) as qmp: qmp("query-status")`."""

    def __init__(self, path: str, timeout: float = 10.0):
        self.path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(timeout)
        self._buffer = b""
        self._events = []
        try:
            self._connect(timeout)
            self._receive()  # the greeting
            self("qmp_capabilities")
        except (OSError, QmpError) as error:
            self._socket.close()
            raise QmpError(f"{path}: {error}") from error

    def _connect(self, timeout: float) -> None:
        deadline = time.monotonic() + timeout
        while True:
            try:
                self._socket.connect(str(self.path))
                return
            except (FileNotFoundError, ConnectionRefusedError):
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.02)

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self._socket.close()

    def _receive(self) -> dict:
        while b"\n" not in self._buffer:
            data = self._socket.recv(65536)
            if not data:
                raise QmpError("QEMU closed the connection")
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\n")
        return json.loads(line)

    def __call__(self, command: str, timeout: float = 30.0, **arguments):
        """Runs one command and returns what it returns; events are kept for wait_for_event().
        An underscore in the name of an argument stands for a hyphen."""
        message = {"execute": command}
        if arguments:
            message["arguments"] = {key.replace("_", "-"): value for key, value in arguments.items()}
        self._socket.settimeout(timeout)
        self._socket.sendall(json.dumps(message).encode() + b"\n")
        while True:
            answer = self._receive()
            if "error" in answer:
                raise QmpError(f"{command}: {answer['error'].get('desc')}")
            if "return" in answer:
                return answer["return"]
            self._events.append(answer.get("event"))

    def wait_for_event(self, name: str, timeout: float = 30.0) -> None:
        """Returns when such an event has come since the connection was opened, and forgets the events up to it."""
        self._socket.settimeout(timeout)
        while name not in self._events:
            self._events.append(self._receive().get("event"))
        del self._events[:self._events.index(name) + 1]

    def monitor(self, line: str) -> str:
        """A command of the human monitor."""
        return self("human-monitor-command", command_line=line)
