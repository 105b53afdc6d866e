"""Debian kernels in the cache: fetched once, taken apart, described by meta.json."""

import dataclasses
import json
import pathlib
import re
import shutil
import subprocess
import tarfile
import tempfile
import tomllib

from .apt_source import AptError, PrivateApt
from .elf_modinfo import decompress, modinfo
from .paths import GUESTS_DIR, cache_dir, locked, say, write_atomically

META_FORMAT = 3


class NotAvailable(Exception):
    """A kernel (or program) that could not be had; the text is the reason."""


@dataclasses.dataclass(frozen=True)
class Kernel:
    """One kernel in the cache."""

    id: str
    package: str
    version: str
    release: str
    folder: pathlib.Path
    modules: tuple  # of (name, parameters) to load, each after what it needs
    carried: tuple  # names of modules that only lie there

    @property
    def vmlinuz(self) -> pathlib.Path:
        return self.folder / "vmlinuz"

    def module_file(self, name: str) -> pathlib.Path:
        return self.folder / "modules" / f"{name}.ko"


def table() -> dict:
    """guests/kernels.toml."""
    with open(GUESTS_DIR / "kernels.toml", "rb") as handle:
        return tomllib.load(handle)


def ids() -> list:
    return list(table()["kernel"])


def wanted_fingerprint(spec: dict, modules: dict) -> str:
    """What the extraction depends on; a cache made from anything else is stale."""
    return json.dumps([META_FORMAT, spec["package"], modules["load"], modules["carry"],
                       modules["parameters"]], sort_keys=True)


def cached(kernel_id: str):
    """The kernel if the cache has it and it fits kernels.toml, else None."""
    everything = table()
    if kernel_id not in everything["kernel"]:
        raise NotAvailable(f"no kernel of that name in kernels.toml (it has {', '.join(everything['kernel'])})")
    folder = cache_dir() / "kernels" / kernel_id
    try:
        meta = json.loads((folder / "meta.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if meta.get("wanted") != wanted_fingerprint(everything["kernel"][kernel_id], everything["modules"]):
        return None
    return Kernel(kernel_id, meta["package"], meta["version"], meta["release"], folder,
                  tuple(tuple(pair) for pair in meta["modules"]), tuple(meta["carried"]))


def ensure(kernel_id: str, update: bool = False) -> Kernel:
    """The kernel, downloaded and taken apart unless the cache has it."""
    found = cached(kernel_id)
    if found and not update:
        return found
    with locked(f"kernel-{kernel_id}"):
        found = cached(kernel_id)  # another process may have been at it meanwhile
        if found and not update:
            return found
        return _fetch(kernel_id, found, update)


def _fetch(kernel_id: str, found, update: bool) -> Kernel:
    everything = table()
    spec = everything["kernel"][kernel_id]
    apt, package, version, size = _choose(kernel_id, spec, update)
    if found and found.version == version and found.package == package:
        return found
    folder = cache_dir() / "kernels" / kernel_id
    with tempfile.TemporaryDirectory(dir=cache_dir(), prefix=f".{kernel_id}-") as work:
        try:
            parts = [package, *_parts(apt, package, version)]
            say(f"{kernel_id}: downloading {' '.join(parts)} {version}"
                + (f" ({size / 1e6:.0f} MB)" if len(parts) == 1 else ""))
            files = [apt.download(part, version, pathlib.Path(work)) for part in parts]
        except AptError as error:
            raise NotAvailable(str(error)) from error
        say(f"{kernel_id}: taking it apart")
        meta = _take_apart(files, pathlib.Path(work) / "out", everything["modules"])
        meta |= {"package": package, "version": version,
                 "wanted": wanted_fingerprint(spec, everything["modules"])}
        shutil.rmtree(folder, ignore_errors=True)
        folder.parent.mkdir(parents=True, exist_ok=True)
        (pathlib.Path(work) / "out").rename(folder)
    # Last: without it the folder counts as absent.
    write_atomically(folder / "meta.json", json.dumps(meta, indent=1).encode())
    kernel = cached(kernel_id)
    if not kernel:
        raise NotAvailable("the cache cannot be read back")
    return kernel


def _choose(kernel_id: str, spec: dict, update: bool):
    """The newest package in the first suite that has one."""
    reasons = []
    for suite in spec["suites"]:
        try:
            apt = PrivateApt([suite])
            with locked(f"apt-{suite}"):
                apt.update(force=update)
                best = apt.newest(spec["package"])
        except (AptError, OSError) as error:
            reasons.append(f"{suite}: {error}")
            continue
        if best:
            return apt, *best
        reasons.append(f"{suite}: no such package")
    raise NotAvailable(f"{kernel_id} in no suite ({'; '.join(reasons)})")


def _parts(apt: PrivateApt, package: str, version: str) -> list:
    """Packages of the same version that hold the image and the modules, where the
    image package itself is only their sum (Debian's kernels from 7.0 on)."""
    fields = apt.run("apt-cache", "show", f"{package}={version}")
    depends = re.search(r"^Depends: (.*)$", fields, re.MULTILINE)
    wanted = re.compile(rf"(linux-(?:binary|modules)-\S+) \(= {re.escape(version)}\)")
    return [match[1] for match in wanted.finditer(depends[1] if depends else "")]


def _normal(name: str) -> str:
    return name.replace("-", "_")


class _Archives:
    """The files of some packages, found by path and read at will."""

    def __init__(self, packages: list, work: pathlib.Path):
        self.image = None
        self.release = ""
        self.by_module = {}
        for number, package in enumerate(packages):
            path = work / f"{number}.tar"
            with open(path, "wb") as handle:
                subprocess.run(["dpkg-deb", "--fsys-tarfile", str(package)], stdout=handle, check=True)
            archive = tarfile.open(path)  # pylint: disable=consider-using-with
            for member in archive:
                self._note(archive, member)

    def _note(self, archive, member) -> None:
        path = member.name.removeprefix("./")
        # Debian's kernels from 7.0 on keep the image with the modules.
        image = re.fullmatch(r"boot/vmlinuz-(.+)|(?:usr/)?lib/modules/([^/]+)/vmlinuz", path)
        if image and member.isfile():
            self.image, self.release = (archive, member), image[1] or image[2]
        module = re.fullmatch(r"(?:usr/)?lib/modules/[^/]+/kernel/(?:.+/)?([^/]+)\.ko(?:\.xz|\.zst)?", path)
        if module and member.isfile():
            self.by_module[_normal(module[1])] = (archive, member)

    def read(self, entry) -> bytes:
        archive, member = entry
        return archive.extractfile(member).read()

    def module(self, name: str):
        """The ELF file of a module, or None."""
        entry = self.by_module.get(_normal(name))
        return decompress(entry[1].name, self.read(entry)) if entry else None


def _take_apart(packages: list, out: pathlib.Path, modules: dict) -> dict:
    """Writes vmlinuz and the wanted modules to `out`; returns the start of meta.json."""
    (out / "modules").mkdir(parents=True)
    archives = _Archives(packages, out.parent)
    if not archives.image:
        raise NotAvailable(f"no kernel image in {', '.join(path.name for path in packages)}")
    (out / "vmlinuz").write_bytes(archives.read(archives.image))
    ordered = []

    def add(name: str) -> None:
        """Depth first, so that a module stands after all it depends on."""
        name = _normal(name)
        if name in ordered:
            return
        data = archives.module(name)
        if data is None:
            return
        for needed in modinfo(data).get("depends", "").split(","):
            if needed:
                add(needed)
        (out / "modules" / f"{name}.ko").write_bytes(data)
        ordered.append(name)

    for name in modules["load"]:
        add(name)
    load = list(ordered)
    for name in modules["carry"]:
        add(name)
    return {"release": archives.release,
            "modules": [(name, modules["parameters"].get(name, "")) for name in load],
            "carried": [name for name in ordered if name not in load]}
