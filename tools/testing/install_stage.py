"""Installs into an empty place and builds the example against what is there."""

import os
import pathlib
import shutil

from .cases import FAILED, PASSED, Case
from .stages import BUILD, PROJECT, Stage

ROOT = BUILD / "install-test"
PREFIX = ROOT / "prefix"
EXAMPLE = ROOT / "example"


def _headers_stand_alone(stage: Stage) -> Case:
    """Each installed header compiles by itself."""
    name = "headers stand alone"
    headers = sorted((PREFIX / "include").rglob("*.h"))
    if not headers:
        return Case(name, FAILED, "none was installed")
    folder = ROOT / "headers"
    folder.mkdir()
    for number, header in enumerate(headers):
        (folder / f"{number}.cpp").write_text(f'#include "{header.relative_to(PREFIX / "include")}"\n', encoding="utf-8")
    return stage.run_case(name, "c++", "-std=c++20", "-fsyntax-only", "-Wall", "-Wextra", "-Werror",
                          "-I", PREFIX / "include", *sorted(folder.glob("*.cpp")))


def _nothing_points_here(folder: pathlib.Path) -> Case:
    """The CMake package must not mention the source or build folder."""
    name = "the package is relocatable"
    files = list(folder.rglob("*.cmake"))
    bad = [path.name for path in files if str(PROJECT) + "/" in path.read_text(encoding="utf-8").replace(str(PREFIX), "")]
    if not files:
        bad = ["no package files"]
    return Case(name, FAILED, ", ".join(bad)) if bad else Case(name, PASSED)


def _staged(stage: Stage) -> Case:
    """make install with PREFIX and DESTDIR, as packagers use it."""
    name = "make install DESTDIR PREFIX"
    destination = ROOT / "staged"
    status = stage.run("make", "--no-print-directory", "install", f"DESTDIR={destination}", "PREFIX=/usr")
    program = destination / "usr/bin/vitrine"
    if status != 0 or not os.access(program, os.X_OK):
        return Case(name, FAILED, f"exit status {status}, {program.name} {'is' if program.exists() else 'is not'} there")
    return Case(name, PASSED)


def install(stage: Stage) -> list:
    """The installed program, headers and CMake package, used from a clean place."""
    shutil.rmtree(ROOT, ignore_errors=True)
    (ROOT / "cache").mkdir(parents=True)
    cases = [stage.run_case("install", "cmake", "--install", BUILD, "--prefix", PREFIX)]
    if cases[0].outcome == FAILED:
        return cases
    # A copy, so that nothing is found by its place beside the sources.
    shutil.copytree(PROJECT / "examples", ROOT / "source")
    cases += [_staged(stage), _headers_stand_alone(stage), _nothing_points_here(PREFIX),
              stage.run_case("the installed program runs", PREFIX / "bin/vitrine", "--version")]
    built = stage.run_case("the example configures", "cmake", "-S", ROOT / "source", "-B", EXAMPLE, "-G", "Ninja",
                           f"-DCMAKE_PREFIX_PATH={PREFIX}", "-DCMAKE_BUILD_TYPE=Release")
    cases.append(built)
    if built.outcome == FAILED:
        return cases
    cases.append(stage.run_case("the example builds", "cmake", "--build", EXAMPLE))
    program = EXAMPLE / "list_processes"
    cases.append(stage.run_case("the example explains itself", program, expected=2))
    environment = {"XDG_CACHE_HOME": str(ROOT / "cache")}
    cases.append(stage.run_case("the example reports errors", program, ROOT / "no-such-image", expected=1,
                                environment=environment))
    return cases
