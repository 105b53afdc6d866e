"""Blocks of memory of one size, without a monitor socket: the guest's kernel tells which is which."""

import pathlib
import random
import shutil
import subprocess
import time

import pytest
from monitors import tool

MIB, PAGE = 1 << 20, 4096
NODE_MIB = 128
DOUBT = "the same size"
EXIT_PARTIAL = 5


def nodes(kind: str, order: tuple) -> tuple:
    """QEMU's arguments: node n of the guest has the backend that was made as number order[n]."""
    arguments = []
    for made in range(len(order)):
        arguments += ["-object", f"memory-backend-{kind},id=m{made},size={NODE_MIB}M"]
    for node, made in enumerate(order):
        arguments += ["-numa", f"node,nodeid={node},memdev=m{made}"]
    return tuple(arguments)


def upwards(folder: pathlib.Path) -> str:
    """A QEMU whose mappings grow upwards, the other way round than is likely."""
    program = folder / "qemu-upwards"
    program.write_text(f'#!/bin/sh\nexec setarch -L {shutil.which("qemu-system-x86_64")} "$@"\n', encoding="ascii")
    program.chmod(0o755)
    return str(program)


def start(boot, kernel: str, kind: str, order: tuple, append: str = "", **changes):
    # Busy, so that its clocks tick.
    return boot(kernel=kernel, memory_mib=NODE_MIB * len(order), extra=nodes(kind, order), truth_mib=0,
                append=f"vitrine.spin {append}", **changes)


def memory_map(info: dict) -> list:
    """Where RAM is. Below 1 MiB the shadowed ROMs come and go: the monitor knows, the command line does not."""
    joined = []
    for extent in info["machine"]["extents"]:
        start, size = int(extent["start"], 16), extent["size"]
        if joined and joined[-1][1] == start:
            joined[-1][1] = start + size
        else:
            joined.append([start, start + size])
    return [[max(start, MIB), end] for start, end in joined if end > MIB]


def proof(info: dict) -> list:
    return [check for check in info["kernel"]["checks"] if "blocks of equal size" in check]


def differing_pages(guest, folder: pathlib.Path) -> list:
    """Addresses at which the library, asking no monitor, sees another page than QEMU says is there; everywhere in the blocks, and where each
    ends, which is where a node keeps what is its own."""
    _, size = guest.config.physical_ranges[0]
    dice = random.Random(7)
    places = [at + page * PAGE for at in range(0, size, NODE_MIB * MIB)
              for page in [*dice.sample(range(256, NODE_MIB * MIB // PAGE), 60), *range(NODE_MIB * MIB // PAGE - 60, NODE_MIB * MIB // PAGE)]]
    with guest.paused():
        done = subprocess.run([tool("guest_probe"), "--no-qmp", "pages", f"qemu:{guest.pid}"], check=True, capture_output=True, timeout=120,
                              input="\n".join(f"{at:x}" for at in places).encode())
        seen = dict(zip(places, done.stdout.decode().split(), strict=True))
        with guest.qmp() as qmp:
            qmp("pmemsave", val=0, size=size, filename=str(folder / "memory"))
    memory = (folder / "memory").read_bytes()
    told = {at: memory[at:at + PAGE].hex() for at in places}
    assert len(set(told.values())) > len(places) / 20, "pages that could be taken for each other prove nothing"
    return [at for at in places if seen[at] != told[at]]


def assert_proven(vitrine, guest, blocks: int, *options) -> dict:
    """Nothing is said of an order that might be wrong, and it is not wrong. What `info` said."""
    target = f"qemu:{guest.pid}"
    info = vitrine.info(target, "--no-qmp", *options)
    assert len(proof(info)) == 1 and proof(info)[0].startswith(f"{blocks} of {blocks} "), info["kernel"]["checks"]
    assert not any(DOUBT in note for note in info["machine"]["notes"]), info["machine"]["notes"]
    # What is said now and then, of a guest without registers, is that it may not run: none of its clocks ticked between two looks.
    # On a loaded machine a guest may stand still for longer than many looks take.
    end = time.monotonic() + 30
    while True:
        done = vitrine("ps", target, "--no-qmp", "--strict", *options)
        assert DOUBT not in done.stderr.decode()
        if done.returncode == 0 or time.monotonic() > end:
            break
    assert (done.returncode, done.stderr) == (0, b"")
    told = vitrine.info(target)
    assert memory_map(info) == memory_map(told) and proof(told) == []
    return info


# How memory is reached has nothing to do with which kernel it is: each kernel once, each way once, each number of blocks once.
@pytest.mark.parametrize("kind, kernel", [("memfd", "k510"), ("memfd", "k61"), ("memfd", "k612"), ("memfd", "k7"), ("ram", "k61")])
def test_the_order_is_proven(empty_cache, boot, tmp_path, kernel, kind):
    guest = start(boot, kernel, kind, (0, 1, 2))
    for options in ((), (), ("--no-cache",), ("--no-registers",)):  # the second out of the cache
        assert_proven(empty_cache, guest, 3, *options)
    assert differing_pages(guest, tmp_path) == []


@pytest.mark.parametrize("order", [(2, 0, 1), (1, 2, 0, 3, 4)], ids=["three", "five"])
def test_nodes_in_another_order_than_their_backends(vitrine, boot, tmp_path, order):
    guest = start(boot, "k61", "memfd", order)
    assert_proven(vitrine, guest, len(order))
    assert differing_pages(guest, tmp_path) == []


@pytest.mark.parametrize("kind, blocks", [("memfd", 3), ("ram", 3), ("memfd", 5), ("ram", 8)])
def test_the_likely_order_is_wrong(vitrine, boot, tmp_path, kind, blocks):
    guest = start(boot, "k61", kind, tuple(range(blocks)), qemu=upwards(tmp_path))
    info = assert_proven(vitrine, guest, blocks)
    assert "choice 1 " not in info["machine"]["layout"] or "nodes" in info["machine"]["layout"]
    assert differing_pages(guest, tmp_path) == []


def test_without_nodes_the_doubt_stays(vitrine, boot):
    """numa=off: one node, of all memory, in one of the blocks; the kernel is in another or the same."""
    guest = start(boot, "k61", "memfd", (0, 1, 2, 3), append="numa=off")
    target = f"qemu:{guest.pid}"
    info = vitrine.info(target, "--no-qmp")
    assert len(proof(info)) == 1 and proof(info)[0].startswith("NOTE: only "), info["kernel"]["checks"]
    assert any(DOUBT in note for note in info["machine"]["notes"]), info["machine"]["notes"]
    done = vitrine("ps", target, "--no-qmp", "--strict")
    assert done.returncode == EXIT_PARTIAL and DOUBT in done.stderr.decode()
