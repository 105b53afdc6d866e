"""How a test guest is made: its description and QEMU's command line for it."""

import dataclasses
import shutil
import tomllib

from .paths import GUESTS_DIR

MIB = 1 << 20
GIB = 1 << 30

BACKENDS = ("anon", "memfd-shared", "memfd-private", "file-shared", "file-private", "hugetlb", "numa2", "ram-backend")
SANDBOX = "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"


@dataclasses.dataclass(frozen=True)
class GuestConfig:
    """One test guest. Nothing needs be given but the kernel."""

    kernel: str = "k61"
    memory_mib: int = 256
    machine: str = "q35"  # or pc
    cpu: str = ""  # "": a plain 64-bit processor with 4-level paging
    smp: int = 1
    kaslr: bool = True
    pti: bool | None = None  # None: as the kernel decides for the processor
    la57: bool | None = None  # None: as the processor has it
    backend: str = "anon"
    qmp: bool = True
    sandbox: bool = False
    qemu: str = ""  # the program; "": the installed one
    name: str = ""  # "": a unique one is made
    accel: str = "auto"  # kvm if a guest really boots under it, else tcg; or either by name
    append: str = ""  # more words for the kernel's command line
    extra: tuple = ()  # more arguments for QEMU
    truth_mib: int = 96  # size of the (sparse) truth disk; 0: none
    debug_threads: bool = False
    uid: int | None = None  # QEMU runs as this user
    extra_files: tuple = ()  # (name in the guest, path here) pairs
    extra_modules: tuple = ()

    def __post_init__(self):
        if self.backend not in BACKENDS:
            raise ValueError(f"backend {self.backend}: there are {', '.join(BACKENDS)}")
        if self.machine not in ("q35", "pc"):
            raise ValueError(f"machine {self.machine}: q35 or pc")
        if self.accel not in ("auto", "kvm", "tcg"):
            raise ValueError(f"accel {self.accel}: auto, kvm or tcg")
        if self.memory_mib < 128 or self.memory_mib % 4:
            raise ValueError(f"memory of {self.memory_mib} MiB: at least 128, and a multiple of 4")

    @property
    def low_memory(self) -> int:
        """Bytes of RAM below the PCI hole, as QEMU splits it."""
        size = self.memory_mib * MIB
        if self.machine == "pc":
            return size if size < 0xE0000000 else 3 * GIB
        return size if size < 0xB0000000 else 2 * GIB

    @property
    def physical_ranges(self) -> list:
        """(start, size) of guest-physical RAM; high RAM starts at 4 GiB."""
        low, size = self.low_memory, self.memory_mib * MIB
        return [(0, low)] + ([(4 * GIB, size - low)] if size > low else [])

    def program(self) -> str:
        return self.qemu or shutil.which("qemu-system-x86_64") or "qemu-system-x86_64"

    def processor(self, accel: str) -> str:
        # A plain guest has 4-level paging, whatever the host can do.
        if not self.cpu and self.la57 is None:
            return "host,la57=off" if accel == "kvm" else "qemu64"
        model = self.cpu or ("host" if accel == "kvm" else "max")
        if self.la57 is not None:
            model += f",la57={'on' if self.la57 else 'off'}"
        return model

    def kernel_command_line(self) -> str:
        words = ["console=ttyS0", "quiet", "rdinit=/init", "panic=-1"]
        if not self.kaslr:
            words.append("nokaslr")
        if self.pti is not None:
            words.append(f"pti={'on' if self.pti else 'off'}")
        return " ".join(words + self.append.split())

    def reboots(self) -> bool:
        return "vitrine.reboot" in self.append


def memory_arguments(config: GuestConfig, ram_file: str) -> tuple:
    """(machine option, other arguments) that give the guest its memory."""
    size = f"{config.memory_mib}M"
    objects = {
        "memfd-shared": f"memory-backend-memfd,id=ram0,size={size},share=on",
        "memfd-private": f"memory-backend-memfd,id=ram0,size={size},share=off",
        "file-shared": f"memory-backend-file,id=ram0,size={size},mem-path={ram_file},share=on",
        "file-private": f"memory-backend-file,id=ram0,size={size},mem-path={ram_file},share=off",
        "hugetlb": f"memory-backend-memfd,id=ram0,size={size},hugetlb=on,hugetlbsize=2M,share=on",
        "ram-backend": f"memory-backend-ram,id=ram0,size={size},prealloc=on",
    }
    if config.backend == "anon":
        return "", ["-m", size]
    if config.backend == "numa2":
        half = f"{config.memory_mib // 2}M"
        arguments = ["-m", size]
        for node in range(2):
            arguments += ["-object", f"memory-backend-memfd,id=ram{node},size={half},share=on",
                          "-numa", f"node,nodeid={node},memdev=ram{node}"]
        return "", arguments
    return ",memory-backend=ram0", ["-m", size, "-object", objects[config.backend]]


def command_line(config: GuestConfig, accel: str, folder, vmlinuz, initrd, ram_file: str, truth: str) -> list:
    """QEMU's whole command line."""
    machine, memory = memory_arguments(config, ram_file)
    command = [
        config.program(), "-name", config.name + (",debug-threads=on" if config.debug_threads else ""),
        "-nodefaults", "-no-user-config", "-display", "none",
        "-machine", config.machine + machine,
        "-accel", "tcg,thread=multi" if accel == "tcg" else "kvm",
        "-cpu", config.processor(accel), "-smp", str(config.smp), *memory,
        "-kernel", str(vmlinuz), "-initrd", str(initrd), "-append", config.kernel_command_line(),
        "-chardev", f"file,id=console,path={folder}/console", "-serial", "chardev:console",
    ]
    if truth:
        command += ["-drive", f"file={truth},format=raw,if=none,id=truth,cache=unsafe",
                    "-device", "virtio-blk-pci,drive=truth"]
    if config.qmp:
        command += ["-qmp", f"unix:{folder}/qmp,server=on,wait=off"]
    if config.sandbox:
        command += ["-sandbox", SANDBOX]
    if not config.reboots():
        command.append("-no-reboot")
    return command + list(config.extra)


def load_matrix() -> dict:
    """guests/matrix.toml: id to GuestConfig; the id is also where its images go."""
    with open(GUESTS_DIR / "matrix.toml", "rb") as handle:
        guests = tomllib.load(handle)["guest"]
    return {name: GuestConfig(**{key: tuple(value) if isinstance(value, list) else value
                                 for key, value in spec.items()})
            for name, spec in guests.items()}
