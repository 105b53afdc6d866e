"""Builds the fuzz targets, replays their seeds and runs each for a bounded time."""

import concurrent.futures
import os
import pathlib
import re
import shutil

from .cases import FAILED, PASSED, SKIPPED, Case
from .stages import BUILD, PROJECT, Stage

SEEDS = PROJECT / "tests/fuzz/corpus"
WORK = BUILD / "fuzz"
# libFuzzer's own limits: seconds for one input, MiB of memory.
INPUT_SECONDS, MEMORY_MIB = 20, 2048
# Without a word libFuzzer makes inputs no longer than the longest seed: too short for what takes longer the larger it is.
LONGEST_INPUT = {"btf": 1 << 20, "kallsyms": 1 << 20, "elf_core": 1 << 20, "profile_cache": 1 << 18,
                 "attach": 4096, "sql": 4096}
SANITIZERS = {"ASAN_OPTIONS": "detect_stack_use_after_return=1:allocator_may_return_null=1",
              "UBSAN_OPTIONS": "print_stacktrace=1"}


def _last_statistics(log: str) -> str:
    runs = re.findall(r"stat::number_of_executed_units:\s*(\d+)", log)
    return f"{int(runs[-1]):,} runs" if runs else ""


def _failure(log: str) -> str:
    """The sanitizer's or libFuzzer's own line on what went wrong."""
    match = re.search(r"^(?:SUMMARY: .*|.*(?:ERROR: libFuzzer|runtime error): .*)$", log, re.MULTILINE)
    return match[0][:300] if match else "see the log"


class Target:
    """One fuzz target."""

    def __init__(self, program, stage: Stage, image=None):
        self.program, self.stage = program, stage
        self.environment = {**SANITIZERS, **({"VITRINE_FUZZ_IMAGE": str(image)} if image else {})}
        kind = program.name.removesuffix("_fuzz")
        self.name = f"{kind} of a real guest" if image else kind
        self.seeds = SEEDS / kind
        self.longest = LONGEST_INPUT.get(kind)
        self.dictionary = PROJECT / "tests/fuzz" / f"{kind}.dict"
        self.file_name = self.name.replace(" ", "-")
        self.log_path = stage.folder / f"fuzz-{self.file_name}.log"
        self.log_path.unlink(missing_ok=True)

    def _run(self, *arguments, timeout: float) -> int:
        artifacts = WORK / "artifacts"
        artifacts.mkdir(parents=True, exist_ok=True)
        with open(self.log_path, "ab") as log:
            return self.stage.children.run(
                [self.program, f"-timeout={INPUT_SECONDS}", f"-rss_limit_mb={MEMORY_MIB}",
                 f"-artifact_prefix={artifacts}/{self.file_name}-", *arguments],
                log, timeout, self.stage.nice, self.environment, PROJECT)

    def _case(self, what: str, status: int) -> Case:
        log = self.log_path.read_text(encoding="utf-8", errors="replace")
        if status == 0:
            return Case(f"{self.name}: {what}", PASSED)
        return Case(f"{self.name}: {what}", FAILED, f"{_failure(log)} ({self.log_path.relative_to(PROJECT)})")

    def replay(self) -> Case:
        """Every seed of the tree once."""
        seeds = [path for path in self.seeds.rglob("*") if path.is_file()] if self.seeds.is_dir() else []
        if not seeds:
            return Case(f"{self.name}: seeds", FAILED, f"{self.seeds.relative_to(PROJECT)} has none")
        status = self._run("-runs=0", self.seeds, timeout=300)
        return self._case(f"replay of {len(seeds)} seeds", status)

    def explore(self, seconds: int, keep: bool) -> Case:
        """New inputs. A kept corpus grows from run to run; else each run starts alike."""
        corpus = WORK / ("corpus" if keep else "corpus-once") / self.file_name
        if not keep:
            shutil.rmtree(corpus, ignore_errors=True)
        corpus.mkdir(parents=True, exist_ok=True)
        arguments = [f"-max_total_time={seconds}", "-print_final_stats=1"]
        if not keep:
            arguments.append("-seed=1")
        if self.longest:
            arguments.append(f"-max_len={self.longest}")
        if self.dictionary.is_file():
            arguments.append(f"-dict={self.dictionary}")
        status = self._run(*arguments, corpus, self.seeds, timeout=seconds + 300)
        log = self.log_path.read_text(encoding="utf-8", errors="replace")
        with open(self.stage.log_path, "ab") as stage_log:
            stage_log.write(f"{self.name}: {seconds} s, {_last_statistics(log) or _failure(log)}\n".encode())
        return self._case(f"{seconds} s of new inputs", status)


def real_image():
    """The raw image of the guest that no run of the tests goes without; None before it was made."""
    folder = pathlib.Path(os.environ.get("VITRINE_GUESTS_DIR") or BUILD / "guests") / "images"
    return next(iter(sorted(folder.glob("k61/*.raw"))), None)


def fuzz(stage: Stage) -> list:
    """Each parser of guest bytes against hostile ones."""
    if not shutil.which("clang++-19"):
        return [Case("fuzz targets", SKIPPED, "clang-19 is not installed")]
    failed = stage.build("fuzz", "tests/fuzz/all")
    if failed:
        return failed
    wanted = {path.stem for path in (PROJECT / "tests/fuzz").glob("*_fuzz.cpp")}
    targets = [Target(path, stage) for path in sorted((WORK / "fuzzers").glob("*_fuzz")) if path.name in wanted]
    if not targets:
        return [Case("fuzz targets", FAILED, "there are none")]

    image = real_image()
    absent = [] if image else [Case("attach of a real guest", SKIPPED, "there is no image of k61: tools/test images makes it")]
    targets += [Target(target.program, stage, image) for target in targets if image and target.name == "attach"]

    def both(target: Target) -> list:
        replayed = target.replay()
        if replayed.outcome == FAILED:
            return [replayed]
        return [replayed, target.explore(stage.options.fuzz_seconds, stage.options.keep_corpus)]

    with concurrent.futures.ThreadPoolExecutor(max_workers=os.cpu_count() or 1) as pool:
        return absent + [case for cases in pool.map(both, targets) for case in cases]
