"""Memory images of a guest, as sparse files."""

import os
import pathlib
import subprocess

from .config import MIB

PIECE = 256 * MIB
GRAIN = 64 * 1024
DUMP_TIMEOUT_S = 600.0


def _copy_sparse(source, target, offset: int) -> None:
    """All of `source` to `target` at `offset`, blocks of zeros left out."""
    zeros = bytes(GRAIN)
    position = offset
    while block := source.read(GRAIN):
        if block != zeros[:len(block)]:
            target.seek(position)
            target.write(block)
        position += len(block)


def raw(guest, path: pathlib.Path) -> pathlib.Path:
    """Guest-physical address = file offset."""
    # QEMU itself writes the pieces, so they lie where it may write.
    piece = guest.folder / "piece"
    ranges = guest.config.physical_ranges
    with guest.qmp() as qmp, open(path, "wb") as target:
        for start, size in ranges:
            for at in range(start, start + size, PIECE):
                length = min(PIECE, start + size - at)
                qmp("pmemsave", timeout=DUMP_TIMEOUT_S, val=at, size=length, filename=str(piece))
                with open(piece, "rb") as source:
                    _copy_sparse(source, target, at)
                piece.unlink()
        target.truncate(sum(ranges[-1]))
    return path


def elf(guest, path: pathlib.Path) -> pathlib.Path:
    """What `virsh dump --memory-only` makes: QEMU's ELF core, with the register notes."""
    temporary = guest.folder / "core"
    with guest.qmp() as qmp:
        qmp("dump-guest-memory", timeout=DUMP_TIMEOUT_S, paging=False, protocol=f"file:{temporary}")
    with open(temporary, "rb") as source, open(path, "wb") as target:
        _copy_sparse(source, target, 0)
        target.truncate(os.fstat(source.fileno()).st_size)
    temporary.unlink()
    return path


def allocated_blocks(path) -> int:
    """512-byte blocks a file (or memfd through /proc) really takes."""
    return os.stat(path).st_blocks


def qemu_version(program: str) -> str:
    """The first line of `QEMU --version`."""
    done = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)
    return done.stdout.split("\n")[0]
