"""Installs into an empty place and builds the example against what is there."""

import os
import pathlib
import shutil
import sys

from .cases import FAILED, PASSED, SKIPPED, Case
from .stages import BUILD, PROJECT, PYTHON, Stage

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


def _python_package(stage: Stage) -> Case:
    """The installed Python package is complete, and the one that is found."""
    name = "the installed Python package"
    if not list((BUILD / "frontends/python/vitrine").glob("_native*.so")):
        return Case(name, SKIPPED, "it is not built: python3-dev or pybind11-dev is missing")
    folder = PREFIX / "lib/python3/dist-packages"
    ask = ("import pathlib, sys, vitrine; assert pathlib.Path(vitrine.__file__).is_relative_to(sys.argv[1]), vitrine.__file__; "
           "assert 'processes' in [table.name for table in vitrine._facts.schema()] and vitrine.machines() is not None; "
           "assert (pathlib.Path(vitrine.__file__).parent / 'py.typed').is_file()")
    return stage.run_case(name, PYTHON, "-B", "-c", ask, str(folder), environment={"PYTHONPATH": str(folder)}, cwd="/")


def _python_below_usr_local(stage: Stage) -> Case:
    """The component alone goes where Debian's interpreter looks below /usr/local."""
    name = "the Python package below /usr/local"
    destination = ROOT / "python"
    status = stage.run("cmake", "--install", BUILD, "--component", "python", "--prefix", "/usr/local",
                       environment={"DESTDIR": str(destination)})
    files = [path.relative_to(destination) for path in destination.rglob("*") if path.is_file()]
    version = "python{}.{}".format(*sys.version_info[:2])
    right = [path for path in files if path.is_relative_to(f"usr/local/lib/{version}/dist-packages/vitrine")]
    if status != 0 or files != right:
        return Case(name, FAILED, f"exit status {status}, {len(files) - len(right)} files elsewhere")
    return Case(name, PASSED) if files else Case(name, SKIPPED, "it is not built: python3-dev or pybind11-dev is missing")


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
              stage.run_case("the installed program runs", PREFIX / "bin/vitrine", "--version"),
              _python_package(stage), _python_below_usr_local(stage)]
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
