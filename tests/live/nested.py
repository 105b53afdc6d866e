"""An emulated machine (QEMU's TCG with AMD's SVM) that runs stock QEMU with real KVM guests, and Vitrine against them.

Everything the inside needs goes in with the initial file system; results come out as a tar archive on a disk.
"""

import ctypes
import io
import os
import pathlib
import re
import shlex
import shutil
import signal
import subprocess
import tarfile
import time

import vitrine_guests as guests
from vitrine_guests import initramfs
from vitrine_guests.config import command_line
from vitrine_guests.truth import format_disk

QEMU_DATA = {"/usr/share/qemu": ("kvmvapic.bin", "linuxboot.bin", "linuxboot_dma.bin", "multiboot.bin", "multiboot_dma.bin", "pvh.bin"),
             "/usr/share/seabios": ("bios-256k.bin", "vgabios-stdvga.bin")}
MODULES = ("virtio_ring", "virtio", "virtio_pci_modern_dev", "virtio_pci_legacy_dev", "virtio_pci", "virtio_blk", "irqbypass", "kvm",
           "kvm_amd")
TRUTH_MIB = 48
RESULT_MIB = 96
INNER_MIB = 256
# One outer processor: with two, QEMU 7.2 now and then hangs. No 5-level paging: the inner guest would get it as well.
OUTER = ("-accel", "tcg,thread=multi", "-cpu", "max,+svm,la57=off", "-smp", "1", "-m", "1024")

INIT = """#!/bin/sh
/bin/busybox --install -s /bin
export PATH=/bin:/usr/bin:/usr/sbin
mount -t proc proc /proc; mount -t sysfs sysfs /sys; mount -t devtmpfs devtmpfs /dev
mkdir -p /dev/pts /dev/shm /tmp /out /run
mount -t devpts devpts /dev/pts; mount -t tmpfs tmpfs /dev/shm; mount -t tmpfs -o size=70% tmpfs /tmp
ip link set lo up
for m in {modules}; do insmod /modules/$m.ko || echo "insmod $m failed"; done
cd /tmp
sh -x /steps > /out/log 2>&1 || echo "steps ended with $?"
cat /proc/uptime > /out/uptime
tar cf /dev/vda -C /out .
sync
poweroff -f
"""


def libraries_of(program: str) -> list:
    """The files that the dynamic linker takes for a program."""
    listed = subprocess.run(["ldd", program], capture_output=True, text=True, check=False).stdout
    return sorted({match for line in listed.splitlines() for match in re.findall(r"(/\S+) \(0x", line)})


def add_program(archive: initramfs.Cpio, path: str, name: str) -> None:
    archive.file(name.lstrip("/"), pathlib.Path(path).read_bytes(), 0o755)
    for library in libraries_of(path):
        archive.file(library.lstrip("/"), pathlib.Path(library).read_bytes(), 0o755)


def inner_command(kernel: guests.Kernel, folder: str, name: str = "inner") -> list:
    """The inner guest's QEMU command, as seen inside; qmp, console and truth lie in `folder`."""
    config = guests.GuestConfig(kernel=kernel.id, name=name, memory_mib=INNER_MIB, smp=1)
    return command_line(config, "kvm", folder, "/inner/vmlinuz", "/inner/initrd", "", f"{folder}/truth")


def build(kernel: guests.Kernel, programs: dict, steps: str, files: dict) -> bytes:
    """The outer machine's initial file system. programs: name inside -> path here; files: name inside -> bytes."""
    archive = initramfs.Cpio()
    for folder in ("bin", "dev", "proc", "sys", "tmp", "out", "root", "var/run"):
        archive.folder(folder)
    archive.file("bin/busybox", initramfs.BUSYBOX.read_bytes(), 0o755)
    archive.link("bin/sh", "busybox")
    archive.file("init", INIT.format(modules=" ".join(MODULES)).encode(), 0o755)
    archive.file("steps", steps.encode(), 0o755)
    for module in MODULES:
        archive.file(f"modules/{module}.ko", kernel.module_file(module).read_bytes())
    for name, path in {"/usr/bin/qemu-system-x86_64": shutil.which("qemu-system-x86_64"), **programs}.items():
        add_program(archive, path, name)
    for folder, names in QEMU_DATA.items():
        for name in names:
            archive.file(f"{folder}/{name}".lstrip("/"), pathlib.Path(folder, name).read_bytes())
    for name, data in files.items():
        archive.file(name, data)
    archive.file("inner/vmlinuz", kernel.vmlinuz.read_bytes())
    archive.file("inner/initrd", initramfs.build(kernel).read_bytes())
    return archive.bytes()


def truth_header(folder: pathlib.Path) -> bytes:
    path = folder / "empty-truth"
    format_disk(path, TRUTH_MIB << 20)
    with open(path, "rb") as handle:
        return handle.read(4096)


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0)


def run(kernel: guests.Kernel, archive: bytes, folder: pathlib.Path, timeout: float) -> dict:
    """Boots the outer machine, waits until it has powered off; the files of /out by name, and "seconds"."""
    initrd, disk, console = folder / "outer.cpio", folder / "results", folder / "outer.console"
    initrd.write_bytes(archive)
    with open(disk, "wb") as handle:
        handle.truncate(RESULT_MIB << 20)
    command = ["qemu-system-x86_64", *OUTER, "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-nic", "none",
               "-kernel", str(kernel.vmlinuz), "-initrd", str(initrd), "-append", "console=ttyS0 quiet rdinit=/init panic=-1",
               "-serial", f"file:{console}", "-drive", f"file={disk},format=raw,if=none,id=results,cache=unsafe",
               "-device", "virtio-blk-pci,drive=results"]
    started = time.monotonic()
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          preexec_fn=_die_with_parent) as process:  # pylint: disable=subprocess-popen-preexec-fn
        try:
            output, _ = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            output, _ = process.communicate()
            output += b"\n(killed after the time allowed)"
    results = {"seconds": time.monotonic() - started, "outer-console": console.read_bytes().decode(errors="replace"),
               "qemu": output.decode(errors="replace")}
    try:
        with tarfile.open(fileobj=io.BytesIO(disk.read_bytes())) as archive_out:
            for member in archive_out:
                if member.isfile():
                    results[os.path.normpath(member.name)] = archive_out.extractfile(member).read()
    except tarfile.TarError:
        pass
    return results


def quoted(command: list) -> str:
    return " ".join(shlex.quote(str(word)) for word in command)
