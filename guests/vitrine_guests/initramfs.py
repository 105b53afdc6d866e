"""The guest's initial file system: a newc cpio archive, the same bytes for the same input."""

import hashlib
import os
import pathlib
import stat
import struct
import subprocess

from .kernels import Kernel
from .paths import PROGRAMS_DIR, cache_dir, locked, say, write_atomically

BUSYBOX = pathlib.Path("/bin/busybox")
APPLETS = ("sh", "sleep", "cat", "ls", "mount", "dmesg", "ps", "echo", "kill", "ip", "insmod", "poweroff")
FOLDERS = ("bin", "dev", "etc", "modules", "mnt", "proc", "run", "srv", "sys", "tmp")
STATIC = ("gcc", "-static", "-O2", "-std=gnu17", "-Wall", "-Wextra", "-Werror")

# program: (compiler command, sources)
PROGRAMS = {
    "init": (STATIC, ("init.c",)),
    "collect": (STATIC, ("collect.c",)),
    "crowd": (STATIC, ("crowd.c",)),  # only in guests that ask for it: crowd.py
    "workload": ((*STATIC, "-pthread"),
                 ("workload.c", "workload_tasks.c", "workload_identity.c", "workload_resources.c", "common.c")),
    "tiny32": (("gcc", "-m32", "-static", "-nostdlib", "-ffreestanding", "-fno-pie", "-no-pie", "-O2",
                "-fno-stack-protector", "-Wall", "-Wextra", "-Werror"), ("tiny32.c",)),
}


class BuildError(Exception):
    """A program of the guest could not be built."""


def _sources_digest() -> str:
    digest = hashlib.sha256(repr(PROGRAMS).encode())
    for path in sorted(PROGRAMS_DIR.iterdir()):
        if path.suffix in (".c", ".h"):
            digest.update(path.name.encode() + b"\0" + path.read_bytes())
    try:
        compiler = subprocess.run(["gcc", "--version"], capture_output=True, check=True).stdout
    except FileNotFoundError as error:
        raise BuildError("gcc is not installed: apt-get install gcc libc6-dev") from error
    return digest.hexdigest()[:16] + hashlib.sha256(compiler).hexdigest()[:8]


def programs() -> dict:
    """Name to path of the programs that run in the guest, built if need be."""
    folder = cache_dir() / "programs" / _sources_digest()
    paths = {name: folder / name for name in PROGRAMS}
    with locked("programs"):
        if all(path.is_file() for path in paths.values()):
            return paths
        say("building the programs of the test guests")
        folder.mkdir(parents=True, exist_ok=True)
        for name, (command, sources) in PROGRAMS.items():
            temporary = folder / f".{name}"
            done = subprocess.run([*command, "-o", str(temporary), *sources], cwd=PROGRAMS_DIR,
                                  capture_output=True, text=True, check=False)
            if done.returncode != 0:
                raise BuildError(f"building {name}: {done.stderr.strip()}")
            temporary.rename(paths[name])
    return paths


def _wants_loader(program: bytes) -> bool:
    """Whether a 64-bit ELF program has a PT_INTERP header. (A static one may well contain the loader's name.)"""
    table, = struct.unpack_from("<Q", program, 0x20)
    size, count = struct.unpack_from("<HH", program, 0x36)
    return any(struct.unpack_from("<I", program, table + index * size)[0] == 3 for index in range(count))


def _busybox() -> bytes:
    try:
        data = BUSYBOX.read_bytes()
    except OSError as error:
        raise BuildError(f"{BUSYBOX}: {error.strerror}: apt-get install busybox-static") from error
    if _wants_loader(data):  # the guest has none
        raise BuildError(f"{BUSYBOX} is not static: apt-get install busybox-static")
    return data


class Cpio:
    """Writer of newc archives with sorted names, counted inodes and no times."""

    def __init__(self):
        self.entries = {}

    def add(self, name: str, mode: int, data: bytes = b"", device: tuple = (0, 0)) -> None:
        self.entries[name] = (mode, data, device)

    def folder(self, name: str) -> None:
        parts = pathlib.PurePosixPath(name).parts
        for count in range(1, len(parts) + 1):
            self.entries.setdefault("/".join(parts[:count]), (stat.S_IFDIR | 0o755, b"", (0, 0)))

    def file(self, name: str, data: bytes, mode: int = 0o644) -> None:
        if "/" in name:
            self.folder(name.rsplit("/", 1)[0])
        self.add(name, stat.S_IFREG | mode, data)

    def link(self, name: str, target: str) -> None:
        self.add(name, stat.S_IFLNK | 0o777, target.encode())

    def bytes(self) -> bytes:
        pieces, size = [], 0

        def put(data: bytes) -> None:
            nonlocal size
            padded = data + b"\0" * (-len(data) % 4)
            pieces.append(padded)
            size += len(padded)

        # Sorted names also put a folder before what lies in it.
        ordered = sorted(self.entries.items()) + [("TRAILER!!!", (0, b"", (0, 0)))]
        for inode, (name, (mode, data, device)) in enumerate(ordered, 1):
            links = 2 if stat.S_ISDIR(mode) else 1
            raw = os.fsencode(name) + b"\0"
            fields = (inode, mode, 0, 0, links, 0, len(data), 0, 0, *device, len(raw), 0)
            put(b"070701" + b"".join(b"%08X" % field for field in fields) + raw)
            put(data)
        pieces.append(b"\0" * (-size % 512))
        return b"".join(pieces)


def build(kernel: Kernel, extra_files: dict | None = None, extra_modules: tuple = ()) -> pathlib.Path:
    """The initial file system for a kernel, from the cache if nothing changed.

    `extra_files` maps names in the guest to host paths, (path, mode) or bytes;
    `extra_modules` are loaded after the others and must be among those carried along.
    """
    archive = Cpio()
    for name in FOLDERS:
        archive.folder(name)
    built = programs()
    archive.file("init", built["init"].read_bytes(), 0o755)
    for name in ("collect", "workload", "tiny32"):
        archive.file(f"bin/{name}", built[name].read_bytes(), 0o755)
    archive.file("bin/busybox", _busybox(), 0o755)
    for name in APPLETS:
        archive.link(f"bin/{name}", "busybox")
    # Before devtmpfs is mounted the first process needs a console.
    archive.add("dev/console", stat.S_IFCHR | 0o600, device=(5, 1))
    modules = [*kernel.modules, *((name, "") for name in extra_modules)]
    for name in [name for name, _ in modules] + list(kernel.carried if extra_modules else ()):
        archive.file(f"modules/{name}.ko", kernel.module_file(name).read_bytes())
    lines = "".join(f"{name} {parameters}".rstrip() + "\n" for name, parameters in modules)
    archive.file("etc/modules", lines.encode())
    for name, source in (extra_files or {}).items():
        data, mode = _extra(source)
        archive.file(name.lstrip("/"), data, mode)
    data = archive.bytes()
    path = cache_dir() / "initramfs" / f"{kernel.id}-{hashlib.sha256(data).hexdigest()[:16]}.cpio"
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, data)
    return path


def _extra(source):
    if isinstance(source, bytes):
        return source, 0o644
    path, mode = source if isinstance(source, tuple) else (source, None)
    path = pathlib.Path(path)
    return path.read_bytes(), path.stat().st_mode & 0o777 if mode is None else mode
