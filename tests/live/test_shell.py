"""The shell in a terminal: prompt, editing, history, completion, Ctrl-C and Ctrl-D, on an image and on a guest that ends."""

import os
import pty
import re
import select
import signal
import stat
import subprocess
import time

import pytest

PROMPT, MORE = b"vitrine> ", b"    ...> "
RUNAWAY = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM c) SELECT count(*) FROM c;"
UNREACHABLE, USAGE = 3, 2


class Terminal:
    """A shell behind a pseudo-terminal."""

    def __init__(self, vitrine, state, *targets):
        self.master, slave = pty.openpty()
        environment = vitrine.environment(XDG_STATE_HOME=str(state), TERM="xterm")
        self.process = subprocess.Popen([str(vitrine.path), "shell", *map(str, targets)], stdin=slave, stdout=slave,
                                        stderr=slave, env=environment, start_new_session=True,
                                        preexec_fn=lambda: os.close(os.open(os.ttyname(slave), os.O_RDWR)))
        os.close(slave)
        self.seen = b""

    def expect(self, wanted: bytes, timeout: float = 60.0) -> bytes:
        """What was written up to and including these bytes."""
        end = time.monotonic() + timeout
        while wanted not in self.seen:
            left = end - time.monotonic()
            assert left > 0, f"no {wanted!r} in {self.seen[-2000:]!r}"
            if select.select([self.master], [], [], left)[0]:
                try:
                    self.seen += os.read(self.master, 65536)
                except OSError:
                    assert wanted in self.seen, f"ended without {wanted!r}: {self.seen[-2000:]!r}"
        at = self.seen.index(wanted) + len(wanted)
        before, self.seen = self.seen[:at], self.seen[at:]
        return before

    def type(self, text: str) -> None:
        """Keys, as they are."""
        os.write(self.master, text.encode())

    def ask(self, line: str) -> bytes:
        """One line and what is written until the next prompt."""
        self.type(line + "\r")
        return self.expect(PROMPT)

    def end(self, keys: str = "\x04") -> int:
        """Its exit status after these keys."""
        self.type(keys)
        return self.process.wait(10)

    def close(self) -> None:
        """Whatever happened."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self.master)


@pytest.fixture
def open_shell(vitrine, tmp_path):
    """open_shell(TARGET...): a shell that is at its first prompt; ended with the test."""
    opened = []

    def open_one(*targets) -> Terminal:
        terminal = Terminal(vitrine, tmp_path / "state", *targets)
        opened.append(terminal)
        terminal.greeting = terminal.expect(PROMPT)
        return terminal
    yield open_one
    for terminal in opened:
        terminal.close()


@pytest.fixture
def shell(open_shell, images):
    """A shell over the image of a guest."""
    return open_shell(images.raw)


image_of_61 = pytest.mark.guests("k61")


@image_of_61
def test_asks_and_answers(shell):
    assert b"linux 6.1." in shell.greeting and b".help" in shell.greeting
    answer = shell.ask("SELECT pid, name FROM processes WHERE pid = 1;")
    assert re.search(rb"1 +init", answer) and re.search(rb"1 row in [\d.]+ ms; complete; image; ", answer), answer
    assert b"did you mean pid?" in shell.ask("SELECT pdi FROM processes;"), "a mistake does not end the shell"
    assert b"CREATE TABLE processes" in shell.ask(".schema processes")
    assert shell.end() == 0


@image_of_61
def test_statements_go_on_over_lines(shell):
    shell.type("SELECT pid,\r")
    shell.expect(MORE)
    shell.type("  name || '!'\r")
    shell.expect(MORE)
    assert b"init!" in shell.ask("FROM processes WHERE pid = 1;")
    shell.type("SELECT 'not\r")
    shell.expect(MORE)
    shell.type("\x03")
    shell.expect(b"^C")
    shell.expect(PROMPT)
    assert b"one" in shell.ask("SELECT 'on' || 'e';"), "what was begun is forgotten"


@image_of_61
def test_tab_completes(shell):
    shell.type("SELECT * FROM kernel_m\t")  # the terminal gets only what is new on the line
    shell.expect(b"odules ")
    assert b"rows in " in shell.ask("LIMIT 2;")
    shell.type("SELECT count(*) FROM proc\t")
    shell.expect(b"ess")
    shell.type("\t")
    listed = shell.expect(PROMPT)
    assert b"process_threads" in listed and b"processes" in listed, "what there is to choose from"
    assert b"row in " in shell.ask("es;")
    shell.type(".sch\tprocesse\t")
    assert b"CREATE TABLE processes" in shell.ask("")


@image_of_61
def test_history_is_kept_and_private(open_shell, images, tmp_path):
    first = open_shell(images.raw)
    first.type("SELECT 'kept'\r")
    first.expect(MORE)
    first.ask("|| 'once';")
    assert first.end(".quit\r") == 0
    history = tmp_path / "state/vitrine/history"
    assert stat.S_IMODE(history.stat().st_mode) == 0o600
    again = open_shell(images.raw)
    again.type("\x1b[A")  # .quit
    again.type("\x1b[A\r")
    assert b"keptonce" in again.expect(b"1 row in "), "the statement as one line"


@image_of_61
def test_ctrl_c_stops_the_statement_and_not_the_shell(shell):
    shell.type(RUNAWAY + "\r")
    time.sleep(1)
    began = time.monotonic()
    shell.type("\x03")
    assert b"interrupted" in shell.expect(PROMPT, timeout=5)
    assert time.monotonic() - began < 2
    shell.type("half a line")
    shell.type("\x03")
    shell.expect(PROMPT)
    assert b"seven7" in shell.ask("SELECT 'seven' || 7;")
    assert shell.end() == 0


@image_of_61
def test_ctrl_c_ends_the_reading_of_a_pipe_that_has_no_more(shell, tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    shell.type(f".read {pipe}\r")
    with open(pipe, "w", encoding="ascii") as writer:
        writer.write("SELECT 40 + 2;\n")
        writer.flush()
        shell.expect(b"42")
        shell.type("\x03")
        shell.expect(PROMPT, timeout=5)
    assert b"43" in shell.ask("SELECT 40 + 3;")


@image_of_61
def test_text_of_the_guest_is_harmless(shell):
    shell.ask(".mode line")
    answer = shell.ask("SELECT name || char(27) || '[31m' AS n FROM processes WHERE pid = 1;")
    assert b"init\\x1b[31m" in answer and b"init\x1b[31m" not in answer


@image_of_61
def test_a_script_without_a_terminal(vitrine, images):
    done = subprocess.run([str(vitrine.path), "shell", str(images.raw)], env=vitrine.environment(), capture_output=True,
                          input=b".mode csv\nSELECT name FROM processes\nWHERE pid = 1;\nSELECT nope;\nSELECT 2;\n",
                          timeout=60, check=False)
    assert (done.returncode, done.stdout) == (USAGE, b"name\ninit\n"), done.stderr


def test_a_guest_that_ends(open_shell, boot):
    guest = boot(kernel="k61")
    shell = open_shell(f"qemu:{guest.pid}")
    assert b"running guest" in shell.ask("SELECT count(*) FROM processes;")
    os.kill(guest.pid, signal.SIGKILL)
    time.sleep(1)
    assert b"has ended" in shell.ask("SELECT count(*) FROM processes;")
    assert b"CREATE TABLE" in shell.ask(".schema processes"), "it stays usable"
    shell.ask("SELECT 1;")
    assert shell.end() == UNREACHABLE
