"""The program's manners: exit codes, one clear line on standard error, formats, help. The guests' answers are judged elsewhere."""

import csv
import fcntl
import io
import json
import os
import pty
import re
import signal
import struct
import subprocess
import tempfile
import termios
import time

import pytest
from conftest import PROJECT

OK, USAGE, UNREACHABLE, UNSUPPORTED, PARTIAL, OUTPUT, INTERRUPTED = 0, 2, 3, 4, 5, 74, 130
COMMANDS = ("list", "info", "ps", "pstree", "threads", "modules", "symbols", "types", "struct", "identify", "vcpus", "table", "sql", "shell",
            "record", "views", "schema", "new-table", "doctor", "completion", "help")
MEBIBYTE = 1 << 20


def refused(done, code):
    """The run failed with this code, said so in one line and a hint, and put nothing on standard output."""
    lines = done.stderr.decode().splitlines()
    assert done.returncode == code, done.stderr.decode()
    assert done.stdout == b""
    assert lines and lines[0].startswith("vitrine: "), lines
    assert len(lines) <= 2 and all(line.startswith("  hint: ") for line in lines[1:]), lines
    assert not any(character < " " for line in lines for character in line)
    return lines


def make_file(folder, name, content):
    """A file with this content; its path."""
    path = folder / name
    path.write_bytes(content)
    return path


BAD_TARGETS = {
    "no such file": (lambda folder: folder / "nothing-here", UNREACHABLE),
    "directory": (lambda folder: folder, UNREACHABLE),
    "empty file": (lambda folder: make_file(folder, "empty", b""), UNREACHABLE),
    "short text": (lambda folder: make_file(folder, "text", b"hello world\n"), UNREACHABLE),
    "long text": (lambda folder: make_file(folder, "text", b"hello world\n" * (2 * MEBIBYTE // 12)), UNSUPPORTED),
    "program": (lambda folder: "/bin/true", UNREACHABLE),
    "half an ELF header": (lambda folder: make_file(folder, "elf", b"\x7fELF\x02\x01\x01" + b"\0" * 20), UNREACHABLE),
    "zeros": (lambda folder: make_file(folder, "zeros", b"\0" * (8 * MEBIBYTE)), UNSUPPORTED),
    "noise": (lambda folder: make_file(folder, "noise", os.urandom(8 * MEBIBYTE)), UNSUPPORTED),
    "device": (lambda folder: "/dev/zero", UNREACHABLE),
    "name with an escape sequence": (lambda folder: "evil\x1b[2J\nname", UNREACHABLE),
    "no such guest": (lambda folder: "qemu:there-is-no-such-guest", UNREACHABLE),
    "no such process": (lambda folder: "qemu:4194303", UNREACHABLE),
    "process that is no machine": (lambda folder: f"qemu:{os.getpid()}", UNREACHABLE),
    "process without KVM": (lambda folder: f"kvm:{os.getpid()}", UNREACHABLE),
    "no such socket": (lambda folder: f"qmp:{folder}/no-socket", UNREACHABLE),
    "socket that is a file": (lambda folder: f"qmp:{make_file(folder, 'file', b'x')}", UNREACHABLE),
    "nothing behind the colon": (lambda folder: "qemu:", USAGE),
    "empty target": (lambda folder: "", USAGE),
}


@pytest.mark.parametrize("name", BAD_TARGETS)
def test_bad_target(vitrine, tmp_path, name):
    make, code = BAD_TARGETS[name]
    target = make(tmp_path)
    lines = refused(vitrine("ps", target), code)
    assert len(lines) == 2, "each of these has a mend"
    assert vitrine("info", target, "--format", "json").returncode == code
    if target != "":
        doctor = vitrine("doctor", target)
        assert doctor.returncode == code and b"fail " in doctor.stdout


@pytest.mark.parametrize("arguments", [
    (), ("pss",), ("ps",), ("ps", "x", "y"), ("ps", "x", "--format", "xml"), ("ps", "x", "--pid", "many"), ("ps", "x", "--nope"),
    ("ps", "x", "--columns", "nope"), ("ps", "x", "--sort", "nope"), ("views", "--sql", "nope"), ("new-table", "No"), ("table", "nope", "x"),
    ("schema", "nope"), ("completion", "tcsh"), ("symbols", "x", "--address", "here"), ("types", "x", "--member", "y"), ("struct", "x"),
    ("struct", "x", "task_struct", "--member", "pid"), ("identify", "x"), ("list", "--columns", "nope"),
], ids=" ".join)
def test_usage(vitrine, arguments):
    refused(vitrine(*arguments), USAGE)


def test_mistyped_command_names_the_near_one(vitrine):
    assert "did you mean vitrine pstree?" in refused(vitrine("pstre", "x"), USAGE)[1]
    assert "did you mean --format?" in refused(vitrine("ps", "x", "--formt=json"), USAGE)[1]


@pytest.mark.parametrize("command", COMMANDS)
def test_help(vitrine, command):
    done = vitrine.ok(command, "--help")
    text = done.stdout.decode()
    assert done.stderr == b""
    assert f"Usage: vitrine {command}" in text and "Exit codes: 0 ok, 2 usage" in text
    examples = text.split("Examples:\n")[1].split("\n\n")[0].splitlines()
    assert len(examples) >= 3 and all(re.search("vitrine", line) for line in examples)
    assert len(text.splitlines()) <= 52
    assert vitrine.ok("help", command).stdout == done.stdout
    assert f"  {command} " in vitrine.ok("--help").stdout.decode()


def test_version(vitrine):
    text = vitrine.ok("--version").stdout.decode()
    assert re.match(r"vitrine \d+\.\d+\.\d+", text) and "compiler: " in text


def test_output_that_cannot_be_written(vitrine):
    for arguments in (("--help",), ("schema",), ("doctor",)):
        with open("/dev/full", "wb") as full:
            done = subprocess.run([vitrine.path, *arguments], stdout=full, stderr=subprocess.PIPE, check=False, env=vitrine.environment())
        assert done.returncode == OUTPUT
        assert done.stderr == b"vitrine: cannot write the output: No space left on device\n"
        closed = subprocess.run(["/bin/sh", "-c", '"$@" >&-', "sh", vitrine.path, *arguments], stderr=subprocess.PIPE, check=False,
                                env=vitrine.environment())
        assert closed.returncode == OUTPUT
        assert closed.stderr.startswith(b"vitrine: cannot write the output")


def test_closed_standard_error_does_no_harm(vitrine):
    done = subprocess.run(["/bin/sh", "-c", '"$@" 2>&-', "sh", vitrine.path, "ps", "nothing-here"], stdout=subprocess.PIPE, check=False,
                          env=vitrine.environment())
    assert done.returncode == UNREACHABLE and done.stdout == b""


@pytest.mark.guests("k61")
def test_reader_that_goes_away(vitrine, images):
    with subprocess.Popen([vitrine.path, "symbols", images.raw, "--format", "ndjson"], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          env=vitrine.environment()) as process:
        process.stdout.readline()
        process.stdout.close()
        assert process.wait(timeout=60) == -signal.SIGPIPE
        assert process.stderr.read() == b""


@pytest.mark.guests("k61")
@pytest.mark.parametrize("command", ["ps", "threads", "modules", "symbols", "types", "pstree"])
def test_formats_agree(vitrine, images, command):
    as_json = json.loads(vitrine.ok(command, images.raw, "--format", "json").stdout)
    lines = vitrine.ok(command, images.raw, "--format", "ndjson").stdout.splitlines()
    assert as_json and as_json == [json.loads(line) for line in lines]
    records = list(csv.DictReader(io.StringIO(vitrine.ok(command, images.raw, "--format", "csv").stdout.decode(), newline="")))
    assert len(records) == len(as_json)
    for record, row in zip(records, as_json):
        assert list(record) == list(row)
        for name, value in row.items():
            if value is None or isinstance(value, (int, float)):
                assert record[name] == ("" if value is None else str(value))
            elif value.isascii() and value.isprintable():
                assert record[name].removeprefix("'") == value.removeprefix("'")
    table = vitrine.ok(command, images.raw).stdout.decode().splitlines()
    assert len(table) == len(as_json) + (command != "pstree")


@pytest.mark.guests("k61")
def test_hostile_names_reach_no_terminal(vitrine, images):
    for command in ("ps", "pstree", "threads"):
        for form in ("table", "json", "ndjson", "csv"):
            text = vitrine.ok(command, images.raw, "--format", form).stdout.decode()
            controls = {character for character in text if (character < " " and character not in "\n\t\r") or "\x7f" <= character <= "\x9f"}
            assert not controls, (command, form)
            assert "\u202e" not in text
    assert "\\x1b[31mred" in vitrine.ok("ps", images.raw).stdout.decode(), "the workload has such names"


@pytest.mark.guests("k61")
def test_interrupt(vitrine, images):
    """Ctrl-C while an answer is written to a pipe that nobody empties."""
    with subprocess.Popen([vitrine.path, "symbols", images.raw, "--format", "json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          env=vitrine.environment()) as process:
        time.sleep(1.0)
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=10) == INTERRUPTED
        process.stdout.close()


@pytest.mark.guests("k61")
def test_a_paused_guest_waits_for_no_reader(vitrine, guest):
    """--paused into a pipe that nobody empties: the guest goes on, the rows wait; Ctrl-C ends the program."""
    arguments = ["symbols", f"qemu:{guest.pid}", "--paused", "--format", "json"]
    with subprocess.Popen([vitrine.path, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          env=vitrine.environment()) as process:
        wait_until_writing(process.pid)
        with guest.qmp() as qmp:
            assert qmp("query-status")["status"] == "running"
        output, notes = process.communicate(timeout=60)
        assert process.returncode == OK and b"the guest was paused for" in notes
        assert len(json.loads(output)) > 10000
    with subprocess.Popen([vitrine.path, *arguments], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                          env=vitrine.environment()) as process:
        wait_until_writing(process.pid)
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=10) == INTERRUPTED
        process.stdout.close()
    with guest.qmp() as qmp:
        assert qmp("query-status")["status"] == "running"


def wait_until_writing(pid):
    """Returns when the process waits in write() to its standard output."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        with open(f"/proc/{pid}/syscall", encoding="ascii") as file:
            if file.read().split()[:2] == ["1", "0x1"]:
                return
        time.sleep(0.02)
    pytest.fail("it never waited for its reader")


@pytest.mark.guests("k61")
def test_truncated_images_are_refused(vitrine, images, tmp_path):
    core = tmp_path / "core"
    with open(images.elf, "rb") as whole:
        core.write_bytes(whole.read(48 * MEBIBYTE))
    refused(vitrine("ps", core), UNREACHABLE)


@pytest.mark.guests("k61")
def test_not_there_is_unknown(vitrine, images):
    refused(vitrine("types", images.raw, "no_such_structure"), PARTIAL)
    refused(vitrine("types", images.raw, "task_struct", "--member", "no_such_member"), PARTIAL)
    refused(vitrine("symbols", images.elf, "--address", "0x1"), PARTIAL)
    refused(vitrine("vcpus", images.raw), PARTIAL)


@pytest.mark.guests("k61")
def test_table_fits_the_terminal(vitrine, images):
    for columns in (40, 80, 132):
        lines = on_terminal(vitrine, columns, "ps", images.raw)
        assert len(lines) > 50
        plain = [re.sub(r"\x1b\[[0-9;]*m", "", line) for line in lines]
        assert all(len(line) <= columns for line in plain)
        assert any(line.endswith("…") for line in plain)
        assert lines[0].startswith("\x1b[1m"), "colour on a terminal"
    assert "\x1b[1m" not in on_terminal(vitrine, 80, "ps", images.raw, NO_COLOR="1")[0]


@pytest.mark.guests("k61")
def test_other_texts_fit_the_terminal(vitrine, images):
    for arguments in (("info", images.raw), ("types", images.raw, "task_struct"), ("schema", "processes")):
        for columns in (40, 80):
            plain = [re.sub(r"\x1b\[[0-9;]*m", "", line) for line in on_terminal(vitrine, columns, *arguments)]
            assert len(plain) > 5 and all(len(line) <= columns for line in plain), arguments
    assert any(len(line) > 80 for line in vitrine.ok("info", images.raw).stdout.decode().splitlines()), "wrapped in a file"


@pytest.mark.guests("k61")
def test_info_for_programs(vitrine, images):
    info, = vitrine.rows("info", images.raw)
    line = json.loads(vitrine.ok("info", images.raw, "--format", "ndjson").stdout)
    assert line["kernel"]["build_id"] == info["kernel"]["build_id"]
    items = dict(csv.reader(io.StringIO(vitrine.ok("info", images.raw, "--format", "csv").stdout.decode(), newline="")))
    assert items["item"] == "value" and items["kernel.release"] == info["kernel"]["release"]
    assert int(items["machine.memory_bytes"]) == info["machine"]["memory_bytes"]


def on_terminal(vitrine, columns, *arguments, **changes):
    """The lines a run writes to a terminal of this width."""
    control, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    with tempfile.TemporaryFile() as copy, subprocess.Popen(["cat"], stdin=control, stdout=copy, stderr=subprocess.DEVNULL) as reader:
        done = subprocess.run([vitrine.path, *map(str, arguments)], stdin=subprocess.DEVNULL, stdout=terminal, stderr=subprocess.PIPE,
                              check=False, timeout=60, env=vitrine.environment(TERM="xterm", NO_COLOR=changes.get("NO_COLOR")))
        os.close(terminal)
        reader.wait(timeout=10)
        os.close(control)
        copy.seek(0)
        text = copy.read().decode()
    assert done.returncode == OK, done.stderr.decode()
    return text.replace("\r\n", "\n").splitlines()


def test_completions_parse(vitrine, tmp_path):
    script = make_file(tmp_path, "completion", vitrine.ok("completion", "bash").stdout)
    program = f"source {script}; COMP_WORDS=(vitrine sym); COMP_CWORD=1; _vitrine; echo ${{COMPREPLY[@]}}; " \
              "COMP_WORDS=(vitrine ps --fo); COMP_CWORD=2; _vitrine; echo ${COMPREPLY[@]}; " \
              "COMP_WORDS=(vitrine ps --format nd); COMP_CWORD=3; _vitrine; echo ${COMPREPLY[@]}"
    done = subprocess.run(["bash", "--norc", "-c", program], capture_output=True, check=True)
    assert done.stdout.decode().split() == ["symbols", "--format", "ndjson"]
    assert done.stderr == b""


def test_documents_are_current(vitrine):
    commands = os.path.join(os.path.dirname(__file__), "../../docs/commands.md")
    with open(commands, "rb") as file:
        assert file.read() == vitrine.ok("document", "markdown").stdout, "build the target docs_commands"
    assert vitrine.ok("document", "man").stdout.startswith(b".TH VITRINE 1")


def test_schema_and_views_agree(vitrine):
    """Every column that a command shows in its table is a column of its data."""
    for command, table in (("ps", "processes"), ("threads", "process_threads"), ("modules", "kernel_modules"), ("symbols", "symbols"),
                           ("types", "types"), ("vcpus", "vcpus")):
        columns = {column["name"] for column in vitrine.rows("schema", table)[0]["columns"]}
        assert columns, command
        assert refused(vitrine(command, "x", "--columns", "no_such_column"), USAGE)


def test_list_needs_nothing(vitrine):
    for row in vitrine.rows("list"):
        assert row["target"] and row["state"]


def test_doctor_of_the_host(vitrine):
    done = vitrine("doctor", "--format", "json")
    checks = {row["check"]: row for row in json.loads(done.stdout)}
    assert {"process_vm_readv", "pidfd_getfd", "CAP_SYS_PTRACE", "Yama", "cache", "virtual machines"} <= set(checks)
    assert done.returncode == (UNREACHABLE if any(row["result"] == "fail" for row in checks.values()) else OK)


@pytest.mark.guests("k61")
def test_progress_only_on_a_terminal(vitrine, images):
    assert vitrine.ok("ps", images.raw, "--no-cache").stderr == b""


def readme_runs() -> dict:
    """The commands of README's first block, without the target, and the lines that it shows for each."""
    text = (PROJECT / "README.md").read_text(encoding="utf-8").split("```\n", 2)[1]
    runs = {}
    for part in text.split("$ vitrine ")[1:]:
        command, *lines = part.strip("\n").splitlines()
        runs[command.split()[0]] = [line for line in lines if line and line != "..."]
    return runs


@pytest.mark.guests("k61")
def test_readme_shows_what_the_program_prints(vitrine, guest):
    """Columns, labels and the kernel's facts in README are those of a run; what belongs to one machine or one moment may differ."""
    shown, target = readme_runs(), f"qemu:{guest.pid}"
    assert shown.keys() == {"list", "ps", "info"}

    def columns(line):
        return re.split(r"\s{2,}", line.strip())

    for command, arguments in (("list", ()), ("ps", (target,))):
        printed = vitrine.ok(command, *arguments, "--width", "140").stdout.decode().splitlines()
        assert columns(shown[command][0]) == columns(printed[0]), f"vitrine {command}: other columns than in README"
        assert len(shown[command]) > 1
    printed = vitrine.ok("info", target, "--width", "140").stdout.decode().splitlines()
    labels = {re.split(r"\s{2,}", line.strip())[0] for line in printed}
    assert {re.split(r"\s{2,}", line.strip())[0] for line in shown["info"]} <= labels
    names = {row["name"]: row for row in vitrine.rows("ps", target)}
    for line in shown["ps"][1:]:
        name = columns(line)[6]
        assert name in names or re.match(r"kworker/", name), f"README lists {name}"
