"""Which accelerator a guest gets. A /dev/kvm that opens is no proof that a kernel
boots under it, so one is booted, with a deadline, once per machine."""

import hashlib
import json
import os
import pathlib
import platform
import subprocess

from .config import GuestConfig
from .paths import cache_dir, locked, say, write_atomically

DEADLINE_S = 12.0


def choose(config: GuestConfig) -> str:
    """kvm or tcg for this guest."""
    if config.accel != "auto":
        return config.accel
    # Their paging has to be what the test asks for, whatever the host can do.
    if config.la57 or config.cpu:
        return "tcg"
    return "kvm" if kvm_works(config) else "tcg"


def _machine_key(config: GuestConfig) -> str:
    """Changes with the host's kernel, its processor, and QEMU."""
    cpu = next((line for line in pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
                if line.startswith("model name")), "")
    qemu = subprocess.run([config.program(), "--version"], capture_output=True, text=True, check=False).stdout
    words = [platform.release(), platform.version(), cpu, qemu.split("\n")[0]]
    return hashlib.sha256("\n".join(words).encode()).hexdigest()[:24]


def kvm_works(config: GuestConfig) -> bool:
    """Whether this machine boots a kernel under KVM."""
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return False
    key = _machine_key(config)
    path = cache_dir() / "kvm.json"
    with locked("kvm"):
        try:
            known = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            known = {}
        if key not in known:
            say(f"trying KVM with {config.kernel} (at most {DEADLINE_S:.0f} s)")
            known[key] = _boots(config)
            say("KVM works" if known[key] else "no guest boots under KVM here: emulation (TCG) it is")
            write_atomically(path, json.dumps(known, indent=1).encode())
        return known[key]


def _boots(config: GuestConfig) -> bool:
    from .guest import Guest, GuestError  # pylint: disable=import-outside-toplevel,cyclic-import
    try:
        with Guest.boot(GuestConfig(kernel=config.kernel, accel="kvm", qemu=config.qemu)) as guest:
            guest.wait_ready(DEADLINE_S)
            return True
    except GuestError:
        return False
