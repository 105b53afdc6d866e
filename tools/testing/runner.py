"""Runs stages in two lanes, shows how they get on, and counts."""

import dataclasses
import threading
import time
from collections.abc import Callable

from . import stages
from .cases import FAILED, SKIPPED, Case, closing_line, count
from .demo_stage import demo
from .fuzz_stage import fuzz
from .install_stage import install
from .package_stage import package
from .processes import Children, Stopped
from .stages import BACKGROUND_NICE, BUILD, PROJECT, Stage

LOGS = BUILD / "test-logs"
PROGRESS_S = 20.0
TAIL_LINES = 60
# Of failed cases that are shown with their output, and of the lines of each.
SHOWN_CASES, SHOWN_LINES = 10, 40


@dataclasses.dataclass(frozen=True)
class Plan:
    """Where a stage runs, what must have gone well before it, and what it only waits for."""

    function: Callable
    lane: int
    needs: tuple = ()
    after: tuple = ()
    nice: int = 0


# In each lane the stages run in this order. Long builds give way to guests, which have deadlines.
PLANS = {
    "build": Plan(stages.build, 0),
    "kernels": Plan(stages.kernels, 1),
    "images": Plan(stages.images, 1, (), ("kernels",)),
    "unit": Plan(stages.unit, 0, ("build",), ("images",)),
    "static": Plan(stages.static, 0),
    "install": Plan(install, 0, ("build",)),
    "package": Plan(package, 0, ("build",), ("images",)),
    "demo": Plan(demo, 0, ("build",), ("kernels",)),
    "guests": Plan(stages.guests, 0, (), ("images",)),
    "live": Plan(stages.live, 0, ("build",), ("images",)),
    "nested": Plan(stages.nested, 0, ("build",), ("images",)),
    "asan": Plan(stages.asan, 1, ("build",), (), BACKGROUND_NICE),
    "tsan": Plan(stages.tsan, 1, ("build",), (), BACKGROUND_NICE),
    "fuzz": Plan(fuzz, 1, ("build",), (), BACKGROUND_NICE),
}
# What a stage that was asked for alone brings along. The sanitizer builds do not need the everyday one; in a whole run
# they only wait for it.
BRINGS = {"unit": ("build",), "install": ("build",), "package": ("build",), "images": ("kernels",), "demo": ("build", "kernels"),
          "guests": ("kernels",), "live": ("build", "kernels"), "nested": ("build", "kernels")}


def minutes(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


class Run:
    """One run of some stages."""

    def __init__(self, wanted: list, options):
        chosen = set(wanted) | {name for stage in wanted for name in BRINGS.get(stage, ())}
        self.names = [name for name in PLANS if name in chosen]
        self.options = options
        self.children = Children()
        self.results = {}
        self._done = {name: threading.Event() for name in self.names}
        self._running = {}
        self._output = threading.Lock()
        LOGS.mkdir(parents=True, exist_ok=True)

    def say(self, text: str) -> None:
        with self._output:
            print(text, flush=True)

    def run(self) -> int:
        """All stages; prints the report and returns the exit status."""
        started = time.monotonic()
        lanes = [[name for name in self.names if PLANS[name].lane == lane] for lane in (0, 1)]
        if self.options.sequential:
            lanes = [self.names]
        threads = [threading.Thread(target=self._run_lane, args=(lane,), daemon=True) for lane in lanes if lane]
        for thread in threads:
            thread.start()
        last_progress = time.monotonic()
        while any(thread.is_alive() for thread in threads):
            time.sleep(0.2)
            if time.monotonic() - last_progress > PROGRESS_S:
                last_progress = time.monotonic()
                self._show_progress()
        for stray in self.children.finish():
            self.say(f"ended a process that outlived its stage: {stray[:200]}")
        return self._report(time.monotonic() - started)

    def stop(self) -> None:
        """Ends everything, from outside."""
        self.children.stop()
        self.children.finish()

    def _run_lane(self, names: list) -> None:
        for name in names:
            try:
                self._run_stage(name)
            finally:
                self._done[name].set()

    def _run_stage(self, name: str) -> None:
        plan = PLANS[name]
        for needed in plan.needs + plan.after:
            if needed in self._done:
                self._done[needed].wait()
        missing = [needed for needed in plan.needs
                   if any(case.outcome == FAILED for case in self.results.get(needed, []))]
        if missing:
            self.results[name] = [Case(name, FAILED, f"not run: {', '.join(missing)} failed")]
            self.say(f"{name:8} not run: {', '.join(missing)} failed")
            return
        log = LOGS / f"{name}.log"
        log.write_bytes(b"")
        started = time.monotonic()
        self._running[name] = started
        self.say(f"{name:8} begins: {(plan.function.__doc__ or '').strip().splitlines()[0]}")
        try:
            nice = 0 if self.options.sequential else plan.nice
            cases = plan.function(Stage(name, self.children, self.options, LOGS, nice))
        except Stopped:
            cases = [Case(name, FAILED, "ended from outside")]
        except Exception as error:  # pylint: disable=broad-exception-caught
            # A defect of the runner must show as a failure, not as a stage that is missing from the count.
            cases = [Case(name, FAILED, f"the runner itself: {type(error).__name__}: {error}")]
        del self._running[name]
        self.results[name] = cases or [Case(name, FAILED, "no test was run")]
        self._show_result(name, time.monotonic() - started, log)

    def _show_progress(self) -> None:
        for name, started in list(self._running.items()):
            try:
                lines = (LOGS / f"{name}.log").read_bytes()[-2000:].decode("utf-8", "replace").splitlines()
            except OSError:
                continue
            last = next((line.strip() for line in reversed(lines) if line.strip()), "")
            self.say(f"{name:8} {minutes(time.monotonic() - started)}  {last[:100]}")

    def _show_result(self, name: str, seconds: float, log) -> None:
        cases = self.results[name]
        numbers = count(cases)
        verdict = "FAILED" if numbers[FAILED] else "done"
        self.say(f"{name:8} {verdict} in {minutes(seconds)}, {len(cases)} case{'s' if len(cases) != 1 else ''}"
                 + "".join(f", {numbers[outcome]} {outcome}" for outcome in (FAILED, SKIPPED) if numbers[outcome]))
        for case in [case for case in cases if case.outcome == FAILED and case.output][:SHOWN_CASES]:
            shown = "\n".join(f"    | {line}" for line in case.output.splitlines()[-SHOWN_LINES:])
            self.say(f"    FAILED {case.name}:\n{shown}")
        if numbers[FAILED]:
            lines = log.read_bytes().decode("utf-8", "replace").splitlines()
            shown = "\n".join(f"    | {line}" for line in lines[-TAIL_LINES:])
            self.say(f"    the end of {log.relative_to(PROJECT)}:\n{shown}")

    def _report(self, seconds: float) -> int:
        everything = [(name, case) for name in self.names for case in self.results.get(name, [])]
        for outcome, title in ((SKIPPED, "not run"), (FAILED, "failed")):
            found = [(name, case) for name, case in everything if case.outcome == outcome]
            if found:
                self.say(f"\n{title}:")
            for name, case in found:
                self.say(f"  {name}: {case.name}" + (f": {case.reason}" if case.reason else ""))
        self.say(f"\n{len(self.names)} stages in {minutes(seconds)}; logs in {LOGS.relative_to(PROJECT)}/")
        cases = [case for _, case in everything]
        self.say(closing_line(cases))
        return 1 if count(cases)[FAILED] or not cases else 0
