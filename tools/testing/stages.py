"""What `make test` consists of. Each stage is a function that gives its cases."""

import json
import os
import pathlib
import re
import shutil

from .cases import FAILED, PASSED, SKIPPED, Case, from_junit

PROJECT = pathlib.Path(__file__).resolve().parent.parent.parent
BUILD = PROJECT / "build"
PYTHON = "/usr/bin/python3"
# For long builds beside what has deadlines.
BACKGROUND_NICE = 10

# Suites that do nothing but decode bytes, or make the bytes that are decoded, in one thread: ThreadSanitizer has nothing to
# look at there, and takes twenty times the time of the others for it. Everything that has threads, processes, signals or
# shared memory is left; and `ctest --preset tsan` runs all.
ONE_THREADED = ("^(AllLayouts|Kallsyms|ElfCore|Guests/|Described/|ShuffledLayout|MalformedBtf|KernelBtf|HostileLists|"
                "Faults|FaultSweep|Kernels/Recorded|Forgeries|Memories/Reading|Modes/)")

SANITIZER_ENVIRONMENT = {"CCACHE_BASEDIR": str(PROJECT), "CCACHE_NOHASHDIR": "1"}


TIMED_OUT = 124  # what Children.run gives


def running_test(log: str) -> str:
    """The test that pytest -v had begun and not ended."""
    begun = re.findall(r"^(\S+\.py::.+?)(?: (PASSED|FAILED|ERROR|SKIPPED|XFAIL|XPASS)\b.*)?$", log, re.MULTILINE)
    unended = [name.strip() for name, outcome in begun if not outcome]
    return unended[-1] if unended else "none of its tests"


class Stage:
    """What a stage function is given: how to run commands, and where its files go."""

    def __init__(self, name: str, children, options, log_folder: pathlib.Path, nice: int):
        self.name, self.children, self.options, self.nice = name, children, options, nice
        self.log_path = log_folder / f"{name}.log"
        self.folder = log_folder

    def run(self, *command, timeout: float = 600.0, environment: dict | None = None, cwd=PROJECT) -> int:
        with open(self.log_path, "ab") as log:
            return self.children.run(list(command), log, timeout, self.nice,
                                     {**SANITIZER_ENVIRONMENT, **(environment or {})}, cwd)

    def run_case(self, name: str, *command, expected: int = 0, **options) -> Case:
        """One command as one case, by its exit status."""
        status = self.run(*command, **options)
        return Case(name, PASSED) if status == expected else Case(name, FAILED, f"exit status {status}")

    def output_of(self, *command, timeout: float = 600.0) -> tuple:
        """(exit status, what it printed); in the log as well."""
        path = self.folder / f"{self.name}.out"
        with open(path, "wb") as out:
            status = self.children.run(list(command), out, timeout, self.nice, SANITIZER_ENVIRONMENT, PROJECT)
        data = path.read_bytes()
        path.unlink()
        with open(self.log_path, "ab") as log:
            log.write(data)
        return status, data.decode("utf-8", "replace")

    def build(self, preset: str, *targets, timeout: float = 2700.0) -> list:
        """Configures and builds a preset; no cases if that went well."""
        folder = BUILD if preset == "dev" else BUILD / preset
        if self.run(PROJECT / "tools/configure", preset) != 0:
            return [Case(f"configuring {preset}", FAILED)]
        wanted = ["--target", *targets] if targets else []
        # Going on after an error shows all of them.
        status = self.run("cmake", "--build", folder, *wanted, "--", "-k", "0", timeout=timeout)
        return [Case(f"building {preset}", FAILED, f"exit status {status}")] if status else []

    def ctest(self, preset: str, *arguments, timeout: float = 600.0) -> list:
        report = self.folder / f"{self.name}.xml"
        report.unlink(missing_ok=True)
        status = self.run("ctest", "--preset", preset, "-j", str(os.cpu_count() or 1), "--output-junit", report, *arguments,
                          timeout=timeout)
        return self.cases_of(report, status)

    def pytest(self, *arguments, timeout: float) -> list:
        report = self.folder / f"{self.name}.xml"
        report.unlink(missing_ok=True)
        status = self.run(PYTHON, "-B", "-m", "pytest", "-v", "-ra", "--color=no", "-p", "no:cacheprovider",
                          "-o", "junit_family=xunit1", "--durations=10", f"--junitxml={report}", *arguments, timeout=timeout)
        cases = self.cases_of(report, status)
        if status == TIMED_OUT:
            log = self.log_path.read_text(encoding="utf-8", errors="replace")
            cases.append(Case(f"{self.name}: not done in {timeout:.0f} s", FAILED, f"{running_test(log)} was running"))
        return cases

    def cases_of(self, report: pathlib.Path, status: int) -> list:
        """The report's cases, and a failed one where the status tells of more than they do."""
        cases = from_junit(report) if report.is_file() else []
        if not cases:
            return [Case(self.name, FAILED, f"no test was run (exit status {status})")]
        if status != 0 and not any(case.outcome == FAILED for case in cases):
            cases.append(Case(f"{self.name}: the test program itself", FAILED, f"exit status {status}"))
        return cases


def build(stage: Stage) -> list:
    """The program, the library and the unit tests."""
    return stage.build("dev") or [Case("build", PASSED)]


def unit(stage: Stage) -> list:
    """Unit tests, and programs that must not compile."""
    return stage.ctest("dev")


def asan(stage: Stage) -> list:
    """Unit tests under AddressSanitizer and UndefinedBehaviorSanitizer."""
    return stage.build("asan", "tests/all") or stage.ctest("asan", timeout=1500)


def tsan(stage: Stage) -> list:
    """Unit tests under ThreadSanitizer, those where something runs beside another."""
    programs = ("memory_test", "sources_test", "guest_test", "query_test", "cli_test")
    return stage.build("tsan", *programs) or stage.ctest("tsan", "-E", f"{ONE_THREADED}|_NOT_BUILT", timeout=1500)


def static(stage: Stage) -> list:
    """Rules that need no run: layers, formatting, scripts; and tests of these tools."""
    cases = [stage.run_case("layers", PYTHON, "-B", "tools/check_layers.py"),
             stage.run_case("shell scripts", "bash", "-n", "tools/setup", "tools/configure", "tools/format", ".ci/run")]
    if shutil.which("clang-format-19"):
        cases.append(stage.run_case("formatting", "tools/format", "--check"))
    else:
        cases.append(Case("formatting", SKIPPED, "clang-format-19 is not installed"))
    return cases + stage.pytest("tests/tools", timeout=120)


def kernels(stage: Stage) -> list:
    """Brings the kernels of the test guests here; one that cannot be had is named, and skipped."""
    _, output = stage.output_of(PYTHON, "-B", "guests/fetch", timeout=900)
    cases, available = [], []
    for line in output.splitlines():
        refused = re.match(r"not available: (\S+): (.*)", line)
        if refused:
            cases.append(Case(f"kernel {refused[1]}", SKIPPED, f"not available: {refused[2]}"))
        elif line.startswith("{"):
            kernel = json.loads(line)
            available.append(kernel["release"])
            cases.append(Case(f"kernel {kernel['kernel']} ({kernel['release']})", PASSED))
    if not any(release.startswith("6.1.") for release in available):
        cases.append(Case("a guest with a 6.1 kernel", FAILED, "none could be downloaded"))
    status, output = stage.output_of(PYTHON, "-B", "guests/fetch", "--qemu10", timeout=900)
    reason = re.search(r"not available: qemu10: (.*)", output)
    cases.append(Case("QEMU 10", PASSED) if status == 0 else
                 Case("QEMU 10", SKIPPED, f"not available: {reason[1] if reason else f'exit status {status}'}"))
    return cases


def images(stage: Stage) -> list:
    """Memory images of the test guests, with what each guest knew about itself."""
    _, output = stage.output_of(PYTHON, "-B", "guests/images", timeout=1200)
    cases = []
    for line in output.splitlines():
        refused = re.match(r"(not available|failed): (\S+): (.*)", line)
        if refused:
            outcome = SKIPPED if refused[1] == "not available" else FAILED
            cases.append(Case(f"images of {refused[2]}", outcome, f"{refused[1]}: {refused[3]}"))
        elif line.startswith("{"):
            cases.append(Case(f"images of {json.loads(line)['guest']}", PASSED))
    return cases


def guests(stage: Stage) -> list:
    """The tools that make the test guests, and that a guest's account of itself can be relied on."""
    return stage.pytest("guests/test_guests.py", timeout=600)


def live(stage: Stage) -> list:
    """Real guests, looked into from outside."""
    return stage.pytest("tests/live", "-m", "not nested", timeout=2700)


def nested(stage: Stage) -> list:
    """A KVM guest inside an emulated machine, looked into from there."""
    return stage.pytest("tests/live", "-m", "nested", timeout=600)
