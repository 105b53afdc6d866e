"""Runs the demo as a user does, on a terminal, and looks at what it shows and leaves."""

import os
import pathlib
import re
import unicodedata

from .cases import FAILED, PASSED, Case
from .stages import BUILD, PROJECT, PYTHON, Stage

COLUMNS = 80
ANSWERS = ("list", "info, first attach", "info, known kernel", "pstree", "ps", "modules", "files", "sockets", "sql")
# Of the workload that every test guest runs (guests/programs).
PROCESSES = ("workload", "many-threads", "deep-00", "deep-03", "wide-parent", "wide-07")
MODULES = ("bridge", "nf_conntrack")


def plain(text: str) -> str:
    """Without colours."""
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


def width_of(line: str) -> int:
    """The columns it takes on a terminal."""
    wide = sum(unicodedata.east_asian_width(character) in "WF" for character in line)
    marks = sum(bool(unicodedata.combining(character)) for character in line)
    return len(line) + wide - marks


def answer_of(text: str, command: str) -> str:
    """What stands between a command and the time that it took."""
    found = re.search(rf"\$ vitrine {command} .*?\n(.*?)answered in \d+ ms", text, re.DOTALL)
    return found[1] if found else ""


def missing_in(answer: str, words: tuple) -> str:
    """Those that are no word of the answer."""
    return ", ".join(word for word in words if not re.search(rf"(?<![\w-]){re.escape(word)}(?![\w-])", answer))


def still_runs(text: str) -> bool:
    """Does the demo's guest?"""
    found = re.search(r"\(process (\d+)\)", text)
    try:
        return b"qemu" in pathlib.Path(f"/proc/{found[1]}/cmdline").read_bytes() if found else True
    except OSError:
        return False


def cases_of(text: str) -> list:
    """Judges what the demo printed."""
    text = plain(text)
    times = re.findall(r"^  (\w[\w, ]*?) +(\d+) ms$", text.partition("How long each answer took")[2], re.MULTILINE)
    wide = [line for line in text.splitlines() if width_of(line) > COLUMNS]
    problems = {
        "says which accelerator": "" if re.search(r"accelerator: (KVM|TCG)", text) else "it does not",
        "shows what the guest is": missing_in(answer_of(text, "info"), ("Machine", "Kernel", "release", "found by")),
        "shows the process tree": missing_in(answer_of(text, "pstree"), PROCESSES),
        "shows the modules": missing_in(answer_of(text, "modules"), MODULES),
        "says how long each answer took": ", ".join(set(ANSWERS) - {name for name, _ in times}),
        "fits the terminal": f"{len(wide)} lines do not: {wide[0]}" if wide else "",
        "stops its guest": "it still runs" if still_runs(text) else "",
    }
    return [Case(f"the demo {what}", FAILED if problem else PASSED, problem) for what, problem in problems.items()]


def files(folder: pathlib.Path) -> dict:
    """What lies there and when it was written; locks aside."""
    return {str(path): path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file() and path.suffix != ".lock"}


def second_run(stage: Stage) -> Case:
    """What a second `make demo` does before its guest starts."""
    name = "a second run downloads and builds nothing"
    guests_folder = pathlib.Path(os.environ.get("VITRINE_GUESTS_DIR", BUILD / "guests"))
    before = {**files(guests_folder), **files(BUILD / "share")}, (BUILD / "vitrine").stat().st_mtime_ns
    if stage.run("tools/setup", "--check", "build", "demo") != 0:
        return Case(name, FAILED, "packages are missing")
    status, output = stage.output_of("make", "--no-print-directory", "all")
    if status != 0 or "no work to do" not in output:
        return Case(name, FAILED, f"make all: exit status {status}, {output.strip().splitlines()[-1:]}")
    if stage.run(PYTHON, "-B", "-c", "import vitrine_guests as guests; guests.build_initramfs(guests.ensure('k61'), {}, ())",
                 environment={"PYTHONPATH": str(PROJECT / "guests")}) != 0:
        return Case(name, FAILED, "the guest's kernel or its file system")
    after = {**files(guests_folder), **files(BUILD / "share")}, (BUILD / "vitrine").stat().st_mtime_ns
    changed = sorted(path for path in after[0].keys() | before[0].keys() if before[0].get(path) != after[0].get(path))
    if changed or before[1] != after[1]:
        return Case(name, FAILED, f"written: {', '.join(changed[:3]) or 'build/vitrine'}")
    return Case(name, PASSED)


def demo(stage: Stage) -> list:
    """What `make demo` shows, once."""
    status, text = stage.output_of(PYTHON, "-B", "tools/testing/on_terminal.py", str(COLUMNS), PYTHON, "tools/demo", timeout=300)
    if status != 0:
        return [Case("tools/demo", FAILED, f"exit status {status}")]
    return [Case("tools/demo", PASSED), *cases_of(text.partition("\n")[2]), second_run(stage)]  # after the command itself
