"""Test guests of Vitrine: Debian kernels under QEMU that know the truth about themselves.

    from vitrine_guests import Guest, GuestConfig

    with Guest.boot(GuestConfig(kernel="k61", backend="memfd-shared")) as guest:
        guest.wait_ready()
        print(guest.pid, guest.qmp_path, len(guest.truth.processes))

Everything in a guest's truth that a guest can choose is bytes.
"""

from .config import BACKENDS, GuestConfig, load_matrix
from .crowd import crowded
from .guest import Guest, GuestError, Unavailable
from .images import Images, ensure_images
from .initramfs import BuildError
from .initramfs import build as build_initramfs
from .kernels import Kernel, NotAvailable, cached, ensure, ids
from .paths import cache_dir
from .qmp import Qmp, QmpError
from .truth import Module, Process, Symbol, Task, Truth, TruthError, Vma

__all__ = [
    "BACKENDS", "BuildError", "Guest", "GuestConfig", "GuestError", "Images", "Kernel", "Module", "NotAvailable",
    "Process", "Qmp", "QmpError", "Symbol", "Task", "Truth", "TruthError", "Unavailable", "Vma", "build_initramfs",
    "cache_dir", "cached", "crowded", "ensure", "ensure_images", "ids", "load_matrix",
]
