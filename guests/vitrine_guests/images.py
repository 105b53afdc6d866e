"""Recorded guests: raw image, ELF core, registers and truth of one moment."""

import dataclasses
import hashlib
import json
import pathlib
import shutil

from . import initramfs, kernels
from .config import GuestConfig
from .dumps import qemu_version
from .guest import Guest, require_qemu
from .paths import cache_dir, locked, say, write_atomically
from .truth import PAYLOAD_OFFSET, Truth

FORMAT = 2


@dataclasses.dataclass(frozen=True)
class Images:
    """The files of one recorded guest."""

    id: str
    folder: pathlib.Path

    @property
    def raw(self) -> pathlib.Path:
        return self.folder / f"{self.id}.raw"

    @property
    def elf(self) -> pathlib.Path:
        return self.folder / f"{self.id}.elf"

    @property
    def registers(self) -> pathlib.Path:
        """What QEMU's `info registers -a` printed."""
        return self.folder / f"{self.id}.regs"

    @property
    def truth_path(self) -> pathlib.Path:
        return self.folder / f"{self.id}.truth"

    @property
    def truth(self) -> Truth:
        return Truth(self.truth_path)

    @property
    def meta(self) -> dict:
        return json.loads((self.folder / "meta.json").read_text(encoding="utf-8"))

    def complete(self) -> bool:
        paths = (self.raw, self.elf, self.registers, self.truth_path, self.folder / "meta.json")
        return all(path.is_file() for path in paths)


def _fingerprint(config: GuestConfig, kernel: kernels.Kernel) -> str:
    """Images are made anew when anything they are made from changes."""
    initrd = initramfs.build(kernel, dict(config.extra_files), config.extra_modules)
    words = [FORMAT, dataclasses.asdict(config), kernel.package, kernel.version, initrd.name,
             qemu_version(config.program())]
    return hashlib.sha256(json.dumps(words, sort_keys=True, default=str).encode()).hexdigest()


def ensure_images(name: str, config: GuestConfig, fresh: bool = False) -> Images:
    """The images of a guest, taken unless the cache has them and they are up to date."""
    images = Images(name, cache_dir() / "images" / name)
    require_qemu(config)
    kernel = kernels.ensure(config.kernel)
    wanted = _fingerprint(config, kernel)
    with locked(f"images-{name}"):
        if not fresh and images.complete() and images.meta.get("fingerprint") == wanted:
            return images
        return _take(images, config, kernel, wanted)


def _take(images: Images, config: GuestConfig, kernel: kernels.Kernel, fingerprint: str) -> Images:
    say(f"{images.id}: booting {kernel.release}")
    shutil.rmtree(images.folder, ignore_errors=True)
    images.folder.mkdir(parents=True)
    # The images are made through the monitor, whatever the live tests are to do without.
    with Guest.boot(dataclasses.replace(config, qmp=True, name="")) as guest:
        guest.wait_ready()
        with guest.paused():
            say(f"{images.id}: ready after {guest.boot_seconds:.1f} s ({guest.accel}), writing the images")
            images.registers.write_text(guest.registers(), encoding="utf-8")
            guest.dump_raw(images.raw)
            guest.dump_elf(images.elf)
            size = PAYLOAD_OFFSET + guest.truth.header.payload_size
            with open(guest.truth_path, "rb") as source, open(images.truth_path, "wb") as target:
                target.write(source.read(size))
        meta = {"fingerprint": fingerprint, "config": dataclasses.asdict(config), "release": kernel.release,
                "version": kernel.version, "accel": guest.accel, "boot_seconds": round(guest.boot_seconds, 2),
                "ranges": config.physical_ranges}
    write_atomically(images.folder / "meta.json", json.dumps(meta, indent=1, default=str).encode())
    return images
