"""Makes the Debian packages and uses them in a clean Debian."""

import filecmp
import gzip
import os
import pathlib
import shutil

from .cases import FAILED, PASSED, SKIPPED, Case
from .clean_debian import CACHE, CleanDebian, NotAvailable
from .stages import BUILD, PROJECT, Stage

ROOT = BUILD / "package-test"
PACKAGES = ROOT / "packages"
# Whose process list the installed program is to show.
IMAGE = CACHE.parent / "images/k61/k61.raw"
FILES = {
    "vitrine": ("usr/bin/vitrine", "usr/share/man/man1/vitrine.1.gz", "usr/share/bash-completion/completions/vitrine",
                "usr/share/zsh/vendor-completions/_vitrine", "usr/share/fish/vendor_completions.d/vitrine.fish"),
    "libvitrine-dev": ("usr/include/vitrine/query/database.h",),
}
COMPLETE = """source /usr/share/bash-completion/completions/vitrine
complete -p vitrine
COMP_WORDS=(vitrine table process_op) COMP_CWORD=2
_vitrine
printf '%s\\n' "${COMPREPLY[@]}"
"""


def _judged(name: str, problem: str) -> Case:
    return Case(name, FAILED, problem) if problem else Case(name, PASSED)


def _printed(stage: Stage, *command) -> tuple:
    """(exit status, what it printed) without the first line, which is the command itself."""
    status, output = stage.output_of(*command)
    return status, output.partition("\n")[2]


def _made(stage: Stage, folder: pathlib.Path) -> bool:
    return stage.run("cpack", "--config", BUILD / "CPackConfig.cmake", "-B", folder) == 0


def _same_again(stage: Stage) -> Case:
    """The packages, made a second time from the same build."""
    name = "made again, the packages are the same"
    again = ROOT / "again"
    if not _made(stage, again):
        return Case(name, FAILED, "they could not be made again")
    first, second = ({path.name for path in folder.glob("*.deb")} for folder in (PACKAGES, again))
    other = [path for path in first | second if path not in first & second
             or not filecmp.cmp(PACKAGES / path, again / path, shallow=False)]
    return _judged(name, ", ".join(sorted(other)))


def _umask(stage: Stage) -> Case:
    """The packages of somebody whose files nobody else may read are readable all the same."""
    name = "the permissions in the packages are not those of the umask"
    private = ROOT / "private"
    umask = os.umask(0o077)
    try:
        made = _made(stage, private)
    finally:
        os.umask(umask)
    packages = sorted(private.glob("*.deb"))
    if not made or not packages:
        return Case(name, FAILED, "the packages cannot be made")
    wrong = []
    for path in packages:
        status, listing = _printed(stage, "dpkg-deb", "-c", path)
        wrong += [line for line in listing.splitlines() if status != 0 or line[:10] not in (
            "drwxr-xr-x", "-rw-r--r--", "-rwxr-xr-x")]
    return _judged(name, "; ".join(wrong[:5]))


def _lintian(stage: Stage, packages: list) -> Case:
    name = "lintian finds no error"
    if shutil.which("lintian") is None:
        return Case(name, SKIPPED, "lintian is not installed")
    status, output = _printed(stage, "lintian", "--allow-root", "--fail-on", "error", *packages)
    errors = [line for line in output.splitlines() if line.startswith("E: ")]
    return _judged(name, "; ".join(errors) or (f"exit status {status}" if status else ""))


def _no_path_of_the_build(stage: Stage, packages: list) -> Case:
    """Nothing in the packages names the folder of the sources or of the build."""
    name = "no file names the folder it was built in"
    found, files = [], 0
    for package in packages:
        folder = ROOT / "unpacked" / package.stem
        folder.mkdir(parents=True)
        if stage.run("dpkg-deb", "-x", package, folder) != 0:
            return Case(name, FAILED, f"{package.name} cannot be unpacked")
        for path in folder.rglob("*"):
            if not path.is_file():
                continue
            files += 1
            data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
            if str(PROJECT).encode() in data:
                found.append(str(path.relative_to(folder)))
    return _judged(name, ", ".join(found) or ("" if files else "no file at all"))


def _files_are_there(debian: CleanDebian) -> Case:
    missing = [path for paths in FILES.values() for path in paths if not (debian.root / path).is_file()]
    if not list((debian.root / "usr/lib").rglob("vitrineConfig.cmake")):
        missing.append("vitrineConfig.cmake")
    return _judged("manual page, completions, headers and CMake package are there", ", ".join(missing))


def _same_answer(stage: Stage, debian: CleanDebian, image: pathlib.Path) -> Case:
    """The installed program and that of the build folder, on one image."""
    name = "the installed program lists the processes of an image"
    inside = _printed(stage, *debian.command("vitrine", "ps", "/image.raw", "--format", "json"))
    outside = _printed(stage, BUILD / "vitrine", "ps", image, "--format", "json", "--cache-dir", ROOT / "cache")
    if inside[0] != 0 or outside[0] != 0:
        return Case(name, FAILED, f"exit status {inside[0]} inside, {outside[0]} outside")
    if '"pid"' not in inside[1]:
        return Case(name, FAILED, "it lists none")
    return _judged(name, "" if inside[1] == outside[1] else "the answers differ")


def _completion(stage: Stage, debian: CleanDebian) -> Case:
    status, output = _printed(stage, *debian.command("bash", "-c", COMPLETE))
    wanted = {"process_open_files", "process_open_pipes", "process_open_sockets"}
    lines = output.splitlines()
    good = status == 0 and any("-F _vitrine" in line for line in lines) and wanted <= set(lines) \
        and "processes" not in lines
    return _judged("bash completes the name of a table", "" if good else f"exit status {status}: {output[-200:]}")


def _example(stage: Stage, debian: CleanDebian, packages: list) -> list:
    """The library's package brings all that its CMake package needs."""
    names = [f"/packages/{path.name}" for path in packages if path.name.startswith("libvitrine-dev_")]
    debian.install(*names, "g++", "cmake", "make")
    shutil.copytree(PROJECT / "examples", debian.root / "examples")
    cases = [_files_are_there(debian),
             stage.run_case("the example configures against libvitrine-dev", *debian.command(
                 "cmake", "-S", "/examples", "-B", "/tmp/examples")),
             stage.run_case("the example builds against libvitrine-dev", *debian.command("cmake", "--build", "/tmp/examples"))]
    if (debian.root / "image.raw").is_file():
        cases.append(stage.run_case("the example's answers of an image agree", *debian.command(
            "/tmp/examples/ask_and_walk", "/image.raw")))
    return cases


def _purged(stage: Stage, debian: CleanDebian, installed: list) -> Case:
    name = "dpkg -P leaves nothing behind"
    paths = set()
    for package in installed:
        status, output = _printed(stage, *debian.command("dpkg", "-L", package))
        if status != 0:
            return Case(name, FAILED, f"{package} is not installed")
        paths |= set(output.split("\n")) - {""}
    if stage.run(*debian.command("dpkg", "-P", *installed)) != 0:
        return Case(name, FAILED, "dpkg -P fails")
    left = {path for path in paths if (debian.root / path.lstrip("/")).is_file()}
    for folder in ("etc", "usr", "var/lib", "opt"):
        left |= {str(path) for path in (debian.root / folder).rglob("*vitrine*")}
    return _judged(name, ", ".join(sorted(left)[:5]))


def _in_clean_debian(stage: Stage, debian: CleanDebian, packages: list) -> list:
    debian.unpack()
    (debian.root / "packages").mkdir()
    for package in packages:
        shutil.copy(package, debian.root / "packages")
    # All but the library: the program must not need what only that brings.
    programs = [path for path in packages if not path.name.startswith("libvitrine-dev_")]
    debian.install(*(f"/packages/{path.name}" for path in programs))
    inside = _printed(stage, *debian.command("vitrine", "--version"))
    outside = _printed(stage, BUILD / "vitrine", "--version")
    cases = [Case("the packages install in a clean Debian", PASSED),
             _judged("the installed program runs", "" if inside == outside and inside[0] == 0 else inside[1][-200:])]
    if IMAGE.is_file():
        shutil.copy(IMAGE, debian.root / "image.raw")
        cases.append(_same_answer(stage, debian, IMAGE))
    else:
        cases.append(Case("the installed program lists the processes of an image", SKIPPED, f"there is no {IMAGE.name}"))
    cases.append(_completion(stage, debian))
    if any(path.name.startswith("python3-vitrine_") for path in packages):
        cases.append(stage.run_case("the Python package is imported", *debian.command(
            "python3", "-c", "import vitrine; assert vitrine.__file__.startswith('/usr/lib/python3/dist-packages/')")))
    cases += _example(stage, debian, packages)
    cases.append(_purged(stage, debian, [path.name.partition("_")[0] for path in packages]))
    return cases


def package(stage: Stage) -> list:
    """The Debian packages, installed, used and removed in a clean Debian."""
    shutil.rmtree(ROOT, ignore_errors=True)
    ROOT.mkdir(parents=True)
    if not _made(stage, PACKAGES):
        return [Case("the packages are made", FAILED)]
    packages = sorted(PACKAGES.glob("*.deb"))
    missing = set(FILES) - {path.name.partition("_")[0] for path in packages}
    cases = [_judged("the packages are made", ", ".join(sorted(missing)))]
    if missing:
        return cases
    cases += [_same_again(stage), _umask(stage), _lintian(stage, packages), _no_path_of_the_build(stage, packages)]
    debian = CleanDebian(stage, ROOT / "root")
    try:
        cases += _in_clean_debian(stage, debian, packages)
    except NotAvailable as error:
        cases.append(Case("the packages in a clean Debian", SKIPPED, f"not available: {error}"))
    except RuntimeError as error:
        cases.append(Case("the packages in a clean Debian", FAILED, str(error)))
    finally:
        debian.remove()
    return cases
