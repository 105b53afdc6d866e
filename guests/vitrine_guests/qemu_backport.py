"""A newer QEMU beside the installed one: from the backports, in the cache."""

import json
import pathlib
import re
import shutil
import subprocess
import tempfile

from .apt_source import AptError, PrivateApt, os_codename
from .kernels import NotAvailable
from .paths import cache_dir, locked, say

DPKG_STATUS = pathlib.Path("/var/lib/dpkg/status")
# The firmware and boot ROM files QEMU wants come in qemu-system-data and seabios.
PACKAGES = ("qemu-system-x86", "qemu-system-data", "qemu-system-common", "seabios", "ipxe-qemu")

# PATH stays the caller's; only the loader, the modules and the data files are ours.
WRAPPER = """#!/bin/sh
root={root}
LD_LIBRARY_PATH="$root/usr/lib/x86_64-linux-gnu:$root/lib/x86_64-linux-gnu${{LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}}"
QEMU_MODULE_DIR="$root/usr/lib/x86_64-linux-gnu/qemu"
export LD_LIBRARY_PATH QEMU_MODULE_DIR
exec "$root/usr/bin/qemu-system-x86_64" -L "$root/usr/share/qemu" -L "$root/usr/share/seabios" -L "$root/usr/lib/ipxe/qemu" "$@"
"""


def cached():
    """The program to start, or None."""
    program = cache_dir() / "qemu10" / "qemu-system-x86_64"
    return program if (cache_dir() / "qemu10" / "meta.json").is_file() and program.is_file() else None


def ensure(update: bool = False) -> pathlib.Path:
    """The program to start, fetched unless the cache has it."""
    with locked("qemu10"):
        found = cached()
        if found and not update:
            return found
        try:
            return _fetch()
        except AptError as error:
            raise NotAvailable(str(error)) from error


def _fetch() -> pathlib.Path:
    codename = os_codename()
    backports = f"{codename}-backports"
    # The machine's own status, so that only what it has not is downloaded.
    apt = PrivateApt([codename, f"{codename}-updates", f"{codename}-security", backports],
                     status=DPKG_STATUS.read_bytes(), label="qemu10")
    apt.update()
    say("downloading QEMU from the backports")
    apt.run("apt-get", "install", "-q", "-y", "--download-only", "--no-install-recommends",
            "--reinstall", "-t", backports, *PACKAGES)
    archives = sorted((apt.root / "cache/archives").glob("*.deb"))
    folder = cache_dir() / "qemu10"
    with tempfile.TemporaryDirectory(dir=cache_dir(), prefix=".qemu10-") as work:
        out = pathlib.Path(work) / "out"
        (out / "root").mkdir(parents=True)
        for package in archives:
            subprocess.run(["dpkg-deb", "-x", str(package), str(out / "root")], check=True)
        wrapper = out / "qemu-system-x86_64"
        wrapper.write_text(WRAPPER.format(root=folder / "root"), encoding="utf-8")
        wrapper.chmod(0o755)
        shutil.rmtree(folder, ignore_errors=True)
        out.rename(folder)
    version = _version(folder / "qemu-system-x86_64")
    (folder / "meta.json").write_text(json.dumps({"version": version, "packages": [a.name for a in archives]}, indent=1),
                                      encoding="utf-8")
    apt.discard()
    return folder / "qemu-system-x86_64"


def _version(program: pathlib.Path) -> str:
    """Starts it once: a program that does not start is not available."""
    done = subprocess.run([str(program), "--version"], text=True, capture_output=True, check=False)
    match = re.search(r"version (\S+)", done.stdout)
    if done.returncode != 0 or not match:
        raise NotAvailable(f"the extracted QEMU does not start: {done.stderr.strip()[:200]}")
    return match[1]
