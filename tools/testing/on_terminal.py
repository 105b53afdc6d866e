"""Runs a command on a terminal of its own and prints what it wrote there; ends with its exit status.

    on_terminal.py COLUMNS COMMAND...
"""

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios


def main() -> int:
    columns, command = int(sys.argv[1]), sys.argv[2:]
    control, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=terminal, stderr=terminal) as process:
        os.close(terminal)
        while True:
            try:
                data = os.read(control, 65536)
            except OSError:  # EIO: nobody has the other end open any more
                break
            sys.stdout.buffer.write(data.replace(b"\r\n", b"\n"))
            sys.stdout.buffer.flush()
    return process.returncode if process.returncode >= 0 else 128 - process.returncode


if __name__ == "__main__":
    sys.exit(main())
