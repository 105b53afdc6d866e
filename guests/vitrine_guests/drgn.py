"""drgn of a newer Debian release in the cache, with a Python of its own, and the kernels' debug information it wants.

Debian 12's drgn cannot open the cores that QEMU writes. Nothing is installed: the packages are taken apart in the cache, and the
programs are run with their own loader and libraries.
"""

import json
import pathlib
import re
import shutil
import struct
import subprocess
import tempfile

from .apt_source import AptError, PrivateApt
from .images import Images
from .kernels import Kernel, NotAvailable, table
from .paths import cache_dir, locked, say, write_atomically

SUITE = "trixie"
LIBRARIES = "usr/lib/x86_64-linux-gnu"


def ensure() -> list:
    """The words that run drgn's Python, fetched unless the cache has it: about 10 MB of package index, 20 MB of packages."""
    folder = cache_dir() / "drgn"
    with locked("drgn"):
        if not (folder / "meta.json").is_file():
            try:
                _fetch(folder)
            except (AptError, OSError, subprocess.CalledProcessError) as error:
                raise NotAvailable(f"drgn of {SUITE}: {error}") from error
    return _words(folder)


def _words(folder: pathlib.Path) -> list:
    root = folder / "root"
    python = sorted((root / "usr/bin").glob("python3.[0-9]*[0-9]"))[0]
    return ["/usr/bin/env", f"PYTHONHOME={root / 'usr'}", f"PYTHONPATH={root / 'usr/lib/python3/dist-packages'}",
            str(root / LIBRARIES / "ld-linux-x86-64.so.2"), "--library-path", str(root / LIBRARIES), str(python), "-S", "-B"]


def _fetch(folder: pathlib.Path) -> None:
    # Of a machine that has nothing yet: libraries of this one are too old.
    apt = PrivateApt([SUITE], label="drgn")
    apt.update()
    say(f"downloading drgn of {SUITE}")
    apt.run("apt-get", "install", "-q", "-y", "--download-only", "--no-install-recommends", "python3-drgn")
    archives = sorted((apt.root / "cache/archives").glob("*.deb"))
    with tempfile.TemporaryDirectory(dir=cache_dir(), prefix=".drgn-") as work:
        out = pathlib.Path(work) / "out"
        (out / "root").mkdir(parents=True)
        for package in archives:
            subprocess.run(["dpkg-deb", "-x", str(package), str(out / "root")], check=True)
        shutil.rmtree(folder, ignore_errors=True)
        out.rename(folder)
    done = subprocess.run([*_words(folder), "-c", "import drgn; print(drgn.__version__)"], text=True, capture_output=True, check=False)
    if done.returncode != 0:
        raise AptError(f"it does not start: {done.stderr.strip()[-200:]}")
    size = sum(package.stat().st_size for package in archives)
    write_atomically(folder / "meta.json", json.dumps(
        {"version": done.stdout.strip(), "bytes": size, "packages": [package.name for package in archives]}, indent=1).encode())
    apt.discard()


def ensure_debug_kernel(kernel: Kernel) -> pathlib.Path:
    """The kernel's vmlinux with its debug information (DWARF), as Debian built it: 283 MB are downloaded for one of 590 MB."""
    path = kernel.folder / f"vmlinux-{kernel.release}"
    with locked(f"debug-{kernel.id}"):
        if not path.is_file():
            try:
                _fetch_debug_kernel(kernel, path)
            except (AptError, OSError, subprocess.CalledProcessError) as error:
                raise NotAvailable(f"debug information of {kernel.release}: {error}") from error
    return path


def _fetch_debug_kernel(kernel: Kernel, path: pathlib.Path) -> None:
    package = f"linux-image-{kernel.release}-dbg"
    reasons = []
    for suite in table()["kernel"][kernel.id]["suites"]:
        try:
            apt = PrivateApt([suite])
            with locked(f"apt-{suite}"):
                apt.update()
                say(f"{kernel.id}: downloading {package} {kernel.version}")
                with tempfile.TemporaryDirectory(dir=cache_dir(), prefix=f".{kernel.id}-debug-") as work:
                    _take_vmlinux(apt.download(package, kernel.version, pathlib.Path(work)), kernel.release, path)
            return
        except AptError as error:
            reasons.append(f"{suite}: {error}")
    raise AptError("; ".join(reasons))


def _take_vmlinux(package: pathlib.Path, release: str, path: pathlib.Path) -> None:
    """Only that file, read as it is unpacked: the modules' are twice as much."""
    partial = path.with_suffix(".partial")
    with open(partial, "wb") as target, \
            subprocess.Popen(["dpkg-deb", "--fsys-tarfile", str(package)], stdout=subprocess.PIPE) as archive:
        done = subprocess.run(["tar", "-x", "-O", "-f", "-", f"./usr/lib/debug/boot/vmlinux-{release}"], stdin=archive.stdout,
                              stdout=target, check=False)
    if done.returncode != 0 or archive.returncode != 0:
        partial.unlink()
        raise AptError(f"{package.name} has no vmlinux-{release}")
    partial.replace(path)


def vmcoreinfo(images: Images) -> bytes:
    """The text that the kernel keeps for readers of its cores. QEMU puts it into a core only when the guest has a device for it;
    where it lies the guest itself said."""
    said = re.fullmatch(r"0x([0-9a-f]+) ([0-9a-f]+)\s*", images.truth.text("/sys/kernel/vmcoreinfo"))
    start, size = int(said[1], 16), int(said[2], 16)
    with open(images.raw, "rb") as raw:
        raw.seek(start)
        note = raw.read(size)
    name_size, text_size, _ = struct.unpack_from("<III", note)
    return note[12 + (name_size + 3 & ~3):][:text_size]
