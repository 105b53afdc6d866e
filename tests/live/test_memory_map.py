"""The guest-physical map and the bytes behind it, against QEMU itself.

No kernel is needed: QEMU's loader device puts known bytes at chosen guest-physical addresses, and QEMU's own `pmemsave`
is the judge of everything else. Most machines stay paused, so that both see the same memory.
"""

import contextlib
import functools
import os
import pathlib
import re
import shutil
import socket
import subprocess
import tempfile
import time

import bare_machines
import pytest
from bare_machines import (FIRMWARE_S, GIB, MIB, PAGE, QEMUS, Machine, OpenProbe, compare_everywhere, fails, only_ptrace,
                           pattern, probe, ranges_of, read_at, wait_for)

NOBODY = 65534
HUGE_PAGES = pathlib.Path("/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages")


@pytest.fixture
def machine():
    """machine(*qemu_options, marks=...): a QEMU that is ended with the test."""
    with contextlib.ExitStack() as stack:
        def start(*options, **settings) -> Machine:
            folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="vitrine-map-")))
            folder.chmod(0o755)
            started = Machine(folder, *options, **settings)
            stack.callback(started.stop)
            return started
        yield start


@pytest.fixture
def public_probe(monkeypatch):
    """The probe where any user can start it."""
    if os.getuid() != 0:
        pytest.skip("needs root to become other users")
    with tempfile.TemporaryDirectory(prefix="vitrine-map-") as folder:
        os.chmod(folder, 0o755)
        copy = shutil.copy(bare_machines.program(), folder)
        monkeypatch.setattr(bare_machines, "program", lambda: copy)
        yield


def hole_of(machine_type: str, size: int) -> int:
    """Where RAM below 4 GiB ends (hw/i386/pc_piix.c, pc_q35.c)."""
    low = {"pc": (0xe0000000, 0xc0000000), "q35": (0xb0000000, 0x80000000), "microvm": (0xc0000000,) * 2}[machine_type]
    return low[1] if size >= low[0] else size


def backend_options(kind: str, size: int, folder: pathlib.Path) -> tuple:
    """Options that make the main memory a backend of this kind."""
    mib = size // MIB
    known = {
        "anonymous": (),
        "backend-ram": ("-object", f"memory-backend-ram,id=m0,size={mib}M"),
        "ram-shared": ("-object", f"memory-backend-ram,id=m0,size={mib}M,share=on"),
        "memfd-shared": ("-object", f"memory-backend-memfd,id=m0,size={mib}M,share=on"),
        "memfd-private": ("-object", f"memory-backend-memfd,id=m0,size={mib}M,share=off"),
        "file-shared": ("-object", f"memory-backend-file,id=m0,size={mib}M,share=on,mem-path={folder}/ram"),
        "file-private": ("-object", f"memory-backend-file,id=m0,size={mib}M,share=off,mem-path={folder}/ram"),
        "mem-path": ("-mem-path", str(folder)),
    }[kind]
    return (*known, "-machine", "memory-backend=m0") if known and kind != "mem-path" else known


BACKENDS = ("anonymous", "backend-ram", "ram-shared", "memfd-shared", "memfd-private", "file-shared", "file-private",
            "mem-path")


@pytest.fixture
def ram_folder():
    """Where memory files may lie: memory, not a disk."""
    with tempfile.TemporaryDirectory(prefix="vitrine-map-", dir="/dev/shm") as folder:
        os.chmod(folder, 0o777)
        yield pathlib.Path(folder)


@pytest.mark.parametrize("with_qmp", [True, False], ids=["qmp", "noqmp"])
@pytest.mark.parametrize("size", [64 * MIB, 3000 * MIB, 3700 * MIB, 5000 * MIB], ids=lambda s: f"{s // MIB}M")
@pytest.mark.parametrize("machine_type", ["pc", "q35", "microvm"])
@pytest.mark.parametrize("which", QEMUS)
def test_split_at_the_hole(machine, which, machine_type, size, with_qmp):
    if not QEMUS[which]:
        pytest.skip(f"QEMU is not there: {which}")
    low = hole_of(machine_type, size)
    marks = [2 * MIB, low - PAGE] + ([4 * GIB, 4 * GIB + size - low - PAGE] if low < size else [])
    guest = machine("-M", machine_type, "-m", size // MIB, marks=marks, qmp=with_qmp, qemu=QEMUS[which])
    answer = compare_everywhere(f"qemu:{guest.pid}", guest)
    layout = answer["layouts"][0]
    assert layout["certain"] == with_qmp
    assert len(answer["layouts"]) == 1 or not with_qmp
    expected = {low} | ({4 * GIB + size - low} if low < size else set())
    assert {sum(r) for r in ranges_of(answer) if sum(r) > MIB} == expected
    assert answer["info"]["accelerator"] == "tcg"
    assert not answer["info"]["notes"] or "does not run" in answer["info"]["notes"][0]


@pytest.mark.parametrize("with_qmp", [True, False], ids=["qmp", "noqmp"])
@pytest.mark.parametrize("kind", BACKENDS)
@pytest.mark.parametrize("which", QEMUS)
def test_backends(machine, ram_folder, which, kind, with_qmp):
    if not QEMUS[which]:
        pytest.skip(f"QEMU is not there: {which}")
    size = 4500 * MIB
    marks = [2 * MIB, 0x80000000 - PAGE, 4 * GIB, 4 * GIB + size - 0x80000000 - PAGE]
    guest = machine("-M", "q35", "-m", size // MIB, *backend_options(kind, size, ram_folder), marks=marks, qmp=with_qmp,
                    qemu=QEMUS[which])
    answer = compare_everywhere(f"qemu:{guest.pid}", guest)
    sharing = "shared" if kind.endswith("shared") else "private"
    expected = {"anonymous": "anonymous", "backend-ram": "anonymous", "memfd-shared": "memfd, shared",
                "memfd-private": "memfd, private", "mem-path": "file"}.get(kind, sharing)
    assert expected in answer["info"]["backend"], answer["info"]
    assert answer["info"]["method"] == ("mapped" if kind.endswith("shared") else "copied")


def allocated(guest: Machine, ram_folder) -> dict:
    """What the guest's memory costs the host: blocks of its files, its own pages, its page tables."""
    cost = {}
    for entry in pathlib.Path(f"/proc/{guest.pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            if "memfd:" in os.readlink(entry) or str(ram_folder) in os.readlink(entry):
                cost[os.readlink(entry)] = entry.stat().st_blocks
    status = pathlib.Path(f"/proc/{guest.pid}/status").read_text("ascii", "replace")
    for label in ("RssAnon", "RssShmem", "VmPTE"):
        cost[label] = int(re.search(rf"^{label}:\s+(\d+)", status, re.MULTILINE).group(1))
    return cost


@pytest.mark.parametrize("kind", [k for k in BACKENDS if k != "mem-path"])
def test_looking_allocates_nothing(machine, ram_folder, kind):
    size = 1500 * MIB
    guest = machine("-m", size // MIB, *backend_options(kind, size, ram_folder), marks=[64 * MIB, 900 * MIB])
    before = allocated(guest, ram_folder)
    for extra in ((), ("--no-qmp",)):
        answer = probe(f"qemu:{guest.pid}", "--read-all", "--populated", "--bench", 2000, *extra)
        assert answer["read_all"]["failed"] == 0
        assert answer["read_all"]["bytes"] >= size - MIB
        assert answer["populated"]["bytes"] < 64 * MIB, "untouched memory is skipped"
    after = allocated(guest, ram_folder)
    for label, value in before.items():
        # Page tables and the heap of QEMU itself may move by some pages as its monitor answers.
        slack = 512 if label in ("RssAnon", "VmPTE") else 0
        assert after[label] <= value + slack, (label, before, after)


@pytest.mark.parametrize("kind", ["anonymous", "memfd-shared", "memfd-private", "file-shared", "file-private", "ram-shared"])
def test_cap_sys_ptrace_is_enough(machine, ram_folder, public_probe, kind):
    size = 256 * MIB
    guest = machine("-m", size // MIB, *backend_options(kind, size, ram_folder), "-sandbox",
                    "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny",
                    marks=[64 * MIB], uid=NOBODY, qmp=False)
    before = allocated(guest, ram_folder)
    refused = fails(probe(f"qemu:{guest.pid}", wrapper=only_ptrace(with_capability=False)), "permission denied")
    assert "CAP_SYS_PTRACE" in refused["text"] and "CAP_SYS_PTRACE" in refused["hint"]
    listed = [m for m in probe("--list", wrapper=only_ptrace(with_capability=False))["machines"] if m["pid"] == guest.pid]
    assert listed and "CAP_SYS_PTRACE" in listed[0]["state"]

    wrapper = only_ptrace(with_capability=True)
    answer = probe(f"qemu:{guest.pid}", "--read", f"{64 * MIB:#x}:4096", "--read-all", wrapper=wrapper)
    assert answer["reads"][f"{64 * MIB:#x}:4096"] == pattern(64 * MIB).hex()
    if kind == "ram-shared" and "cannot be mapped" in "".join(answer["info"]["notes"]):
        assert answer["read_all"]["failed"] > 0, "pages that QEMU has not touched are not known"
    else:
        assert answer["read_all"]["failed"] == 0
        assert answer["info"]["method"] == ("mapped" if kind.endswith("shared") else "copied")
    after = allocated(guest, ram_folder)
    assert after["RssShmem"] <= before["RssShmem"] + 64
    for label in before:
        if not label[0].isupper():
            assert after[label] == before[label], label


@pytest.mark.parametrize("with_qmp", [True, False], ids=["qmp", "noqmp"])
@pytest.mark.parametrize("kind", ["ram", "memfd"])
def test_numa_nodes(machine, kind, with_qmp):
    options = ["-M", "pc", "-m", "4500", "-smp", "2"]
    for node, size in enumerate((1500, 2200, 800)):
        options += ["-object", f"memory-backend-{kind},id=n{node},size={size}M", "-numa", f"node,memdev=n{node}"]
    edges = [1500 * MIB, 0xc0000000, 4 * GIB + (3700 - 3072) * MIB]
    marks = [2 * MIB] + [gpa for edge in edges for gpa in (edge - PAGE, edge) if gpa != 0xc0000000] + [4 * GIB]
    guest = machine(*options, marks=marks, qmp=with_qmp)
    answer = compare_everywhere(f"qemu:{guest.pid}", guest)
    assert answer["info"]["backend"] == ("anonymous" if kind == "ram" else "memfd, shared")


@pytest.mark.parametrize("kind", ["ram", "memfd"])
def test_numa_nodes_of_one_size_give_every_order(machine, kind):
    options = ["-M", "q35", "-m", "1536"]
    for node in range(3):
        options += ["-object", f"memory-backend-{kind},id=n{node},size=512M", "-numa", f"node,memdev=n{node}"]
    guest = machine(*options, marks=[2 * MIB, 600 * MIB, 1100 * MIB])
    exact, _ = read_at(f"qemu:{guest.pid}", *[(gpa, PAGE) for gpa in guest.marks])
    assert exact == {gpa: pattern(gpa) for gpa in guest.marks}
    layouts = probe(f"qemu:{guest.pid}", "--no-qmp")["layouts"]
    right = []
    for index, layout in enumerate(layouts):
        got, _ = read_at(f"qemu:{guest.pid}", *[(gpa, PAGE) for gpa in guest.marks], extra=("--no-qmp", "--layout", index))
        assert not layout["certain"]
        if got == exact:
            right.append(index)
    assert right == [0], f"of {len(layouts)} candidates"
    assert len(layouts) >= 6


def test_memory_below_4g_as_asked_for(machine):
    guest = machine("-M", "q35,max-ram-below-4g=1G", "-m", "3000", marks=[GIB - PAGE, 4 * GIB])
    for extra in ((), ("--no-qmp",)):
        answer = compare_everywhere(f"qemu:{guest.pid}", guest, extra=extra)
        assert GIB in {sum(r) for r in ranges_of(answer)}


def test_config_file_hides_the_size(machine, tmp_path):
    config = tmp_path / "guest.cfg"
    config.write_text('[memory]\n  size = "1300M"\n[machine]\n  type = "q35"\n', encoding="ascii")
    guest = machine("-readconfig", config, marks=[2 * MIB, 1200 * MIB])
    answer = compare_everywhere(f"qemu:{guest.pid}", guest)
    assert answer["layouts"][0]["certain"]
    layouts = probe(f"qemu:{guest.pid}", "--no-qmp")["layouts"]
    right = [index for index in range(len(layouts))
             if read_at(f"qemu:{guest.pid}", (1200 * MIB, PAGE), extra=("--no-qmp", "--layout", index))[0][1200 * MIB] == pattern(1200 * MIB)]
    assert right, "one of the candidates is right"


def test_running_firmware_and_whole_memory(machine):
    guest = machine("-m", "96", paused=False)
    deadline = time.monotonic() + FIRMWARE_S
    # SeaBIOS has given up to boot when it waits in its halt loop.
    while "HLT=1" not in guest.human("info registers") and time.monotonic() < deadline:
        time.sleep(0.1)
    guest.human("stop")
    answer = probe(f"qemu:{guest.pid}", "--read", f"0x100000:{95 * MIB:#x}", "--read", "0x0:0xa0000", "--read", "0xc0000:0x40000")
    assert bytes.fromhex(answer["reads"][f"0x100000:{95 * MIB:#x}"]) == guest.bytes_at(MIB, 95 * MIB)
    assert bytes.fromhex(answer["reads"]["0x0:0xa0000"]) == guest.bytes_at(0, 0xa0000)
    assert bytes.fromhex(answer["reads"]["0xc0000:0x40000"]) == guest.bytes_at(0xc0000, 0x40000), "shadowed ROMs"
    quiet, _ = read_at(f"qemu:{guest.pid}", (0xc0000, 0x40000), (0xa0000, PAGE), extra=("--no-qmp",))
    assert quiet[0xc0000] == guest.bytes_at(0xc0000, 0x40000)
    assert quiet[0xa0000] is None, "the video window is not RAM"


def test_memory_of_devices_is_not_ram(machine):
    guest = machine("-M", "q35", "-m", "128", "-object", "memory-backend-ram,id=sh,size=128M,share=on", "-device",
                    "ivshmem-plain,memdev=sh", paused=False)
    deadline = time.monotonic() + FIRMWARE_S
    while "): sh" not in guest.human("info mtree -f") and time.monotonic() < deadline:
        time.sleep(0.1)
    assert "): sh" in guest.human("info mtree -f"), "the firmware has mapped the device"
    for extra in ((), ("--no-qmp",)):
        answer = probe(f"qemu:{guest.pid}", *extra)
        assert sum(size for _, size in ranges_of(answer)) <= 128 * MIB
        assert max(sum(r) for r in ranges_of(answer)) == 128 * MIB


def test_plugged_memory(machine, ram_folder):
    blob = b"".join(pattern(i * PAGE) for i in range(128 * MIB // PAGE))
    (ram_folder / "dimm").write_bytes(blob)
    guest = machine("-M", "pc", "-m", "512M,slots=2,maxmem=2G", marks=[2 * MIB])
    with guest.qmp() as qmp:
        qmp("object-add", **{"qom-type": "memory-backend-file", "id": "md", "size": 128 * MIB, "share": True,
                             "mem-path": str(ram_folder / "dimm")})
        qmp("device_add", driver="pc-dimm", id="d0", memdev="md")
        place = qmp("query-memory-devices")[0]["data"]["addr"]
    got, answer = read_at(f"qemu:{guest.pid}", (place, PAGE), (place + 77 * MIB, PAGE), (place + 128 * MIB - PAGE, PAGE))
    assert got == {place + at: pattern(at) for at in (0, 77 * MIB, 128 * MIB - PAGE)}
    assert (place, 128 * MIB) in ranges_of(answer)
    got, answer = read_at(f"qemu:{guest.pid}", (place, PAGE), extra=("--no-qmp",))
    assert got == {place: None}
    assert any("plugged in" in note and "128 MiB" in note for note in answer["info"]["notes"]), answer["info"]["notes"]


def test_plugged_memory_as_large_as_main_memory(machine):
    guest = machine("-M", "pc", "-m", "256M,slots=2,maxmem=2G", marks=[2 * MIB])
    assert not any("plugged in" in note for note in probe(f"qemu:{guest.pid}", "--no-qmp")["info"]["notes"])
    with guest.qmp() as qmp:
        qmp("object-add", **{"qom-type": "memory-backend-ram", "id": "md", "size": 256 * MIB})
        qmp("device_add", driver="pc-dimm", id="d0", memdev="md")
    notes = probe(f"qemu:{guest.pid}", "--no-qmp")["info"]["notes"]
    assert any("plugged in" in note and "256 MiB" in note for note in notes), notes


def test_dimm_of_the_command_line(machine):
    guest = machine("-m", "512M,slots=2,maxmem=2G", "-object", "memory-backend-ram,id=md,size=256M", "-device",
                    "pc-dimm,memdev=md", "-object", "memory-backend-ram,id=vm,size=512M", "-device",
                    "virtio-mem-pci,memdev=vm,id=vm0", marks=[2 * MIB, 4 * GIB + 255 * MIB])
    answer = compare_everywhere(f"qemu:{guest.pid}", guest)
    assert sum(size for _, size in ranges_of(answer)) > (512 + 256 + 512 - 1) * MIB
    answer = probe(f"qemu:{guest.pid}", "--no-qmp")
    assert sum(size for _, size in ranges_of(answer)) <= 512 * MIB
    notes = " ".join(answer["info"]["notes"])
    assert "'md'" in notes and "'vm'" in notes


def test_socket_held_by_another(machine):
    guest = machine("-M", "q35", "-m", "3000", marks=[2 * MIB, 4 * GIB])
    with guest.qmp():
        begin = time.monotonic()
        answer = compare_everywhere(f"qemu:{guest.pid}", guest, extra=("--timeout", "100"), samples=5)
        assert time.monotonic() - begin < 20
        assert any("another client" in note for note in answer["info"]["notes"]), answer["info"]["notes"]
        assert len([line for line in pathlib.Path("/proc/net/unix").read_text("utf-8").splitlines()
                    if line.endswith(f" {guest.qmp_path}")]) <= 2, "no connection waits in QEMU's queue"
        answer = probe(f"qmp:{guest.qmp_path}", "--timeout", "100")
        assert answer["info"]["pid"] == guest.pid
    # Let go at once: the next client is served.
    answer = probe(f"qmp:{guest.qmp_path}")
    assert answer["layouts"][0]["certain"]
    with guest.qmp() as qmp:
        assert qmp("query-status")["status"] == "prelaunch"


def test_every_kind_of_socket_is_found(machine, tmp_path):
    long_folder = tmp_path / ("d" * 100) / ("e" * 100)
    long_folder.mkdir(parents=True)
    forms = {
        "chardev": ("-chardev", f"socket,id=c0,path={tmp_path}/a.sock,server=on,wait=off", "-mon", "chardev=c0,mode=control"),
        "pretty": ("-qmp-pretty", f"unix:{tmp_path}/b.sock,server=on,wait=off"),
        "abstract": ("-chardev", f"socket,id=c0,path=vitrine-{os.getpid()},abstract=on,server=on,wait=off", "-mon",
                     "chardev=c0,mode=control"),
    }
    for form, options in forms.items():
        guest = machine("-m", "64", *options, qmp=False)
        answer = probe(f"qemu:{guest.pid}")
        assert answer["layouts"][0]["certain"], (form, answer["info"])
        assert answer["info"]["version"]
        listed = [m for m in probe("--list")["machines"] if m["pid"] == guest.pid]
        assert listed[0]["qmp_socket"] == answer["info"]["qmp_socket"]
        guest.stop()


def test_relative_and_handed_over_sockets(machine, tmp_path):
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "handed"))
        listener.listen(1)
        os.set_inheritable(listener.fileno(), True)
        number = listener.fileno()
        folder = pathlib.Path(tempfile.mkdtemp(dir=tmp_path))
        process = subprocess.Popen([QEMUS["installed"], "-display", "none", "-S", "-m", "64", "-chardev",
                                    f"socket,id=m,fd={number},server=on,wait=off", "-mon", "chardev=m,mode=control"],
                                   pass_fds=[number], cwd=folder, stdin=subprocess.DEVNULL)
    try:
        wait_for(lambda: "error" not in probe(f"qemu:{process.pid}"))
        answer = probe(f"qemu:{process.pid}")
        assert answer["info"]["qmp_socket"] == str(tmp_path / "handed")
        assert answer["layouts"][0]["certain"]
    finally:
        process.kill()
        process.wait()
    process = subprocess.Popen([QEMUS["installed"], "-display", "none", "-S", "-m", "64", "-qmp",
                                "unix:here,server=on,wait=off"], cwd=folder, stdin=subprocess.DEVNULL)
    try:
        wait_for(lambda: "error" not in probe(f"qemu:{process.pid}"))
        assert probe(f"qemu:{process.pid}")["layouts"][0]["certain"]
        assert probe(f"qmp:{folder / 'here'}")["info"]["pid"] == process.pid
    finally:
        process.kill()
        process.wait()


def test_names(machine):
    name = f"twin-{os.getpid()}"
    first = machine("-m", "32", name=f"guest={name},debug-threads=on")
    assert probe(f"qemu:{name}")["info"]["pid"] == first.pid
    listed = [m for m in probe("--list")["machines"] if m["pid"] == first.pid]
    assert listed[0]["target"] == f"qemu:{name}" and listed[0]["state"] == "accessible"
    assert listed[0]["memory_bytes"] == 32 * MIB and listed[0]["backend"] == "anonymous"
    second = machine("-m", "32", name=name)
    error = fails(probe(f"qemu:{name}"), "ambiguous")
    assert f"qemu:{first.pid}" in error["text"] and f"qemu:{second.pid}" in error["text"]
    targets = {m["target"] for m in probe("--list")["machines"]}
    assert {f"qemu:{first.pid}", f"qemu:{second.pid}"} <= targets and f"qemu:{name}" not in targets
    error = fails(probe("qemu:no-such-guest"), "not found")
    assert name in error["hint"]


def test_what_is_no_machine(tmp_path):
    error = fails(probe(f"qemu:{os.getpid()}"), "bad request")
    assert "not a QEMU" in error["text"]
    fails(probe("qemu:4194304"), "not found")
    for bad in ("", "qemu:", "kvm:x", "kmv:12"):
        assert "qemu:PID" in fails(probe(bad), "bad request")["hint"]
    fails(probe(f"qmp:{tmp_path}/none"), "not found")
    other = tmp_path / "qemu-system-aarch64"
    shutil.copy(shutil.which("sleep"), other)
    process = subprocess.Popen([other, "60"])
    try:
        wait_for(lambda: os.path.realpath(f"/proc/{process.pid}/exe") == str(other))
        assert "aarch64" in fails(probe(f"qemu:{process.pid}"), "unsupported")["text"]
        listed = [m for m in probe("--list")["machines"] if m["pid"] == process.pid]
        assert "aarch64" in listed[0]["state"]
    finally:
        process.kill()
        process.wait()


def test_other_namespaces(machine):
    """As in a container: the socket lies in a mount namespace of QEMU's own, and pids are counted anew."""
    if os.getuid() != 0:
        pytest.skip("needs root to make namespaces")
    # The human monitor's socket stays outside, for the test itself.
    script = 'mount -t tmpfs none /mnt && exec "$@" -qmp unix:/mnt/inner.sock,server=on,wait=off'
    guest = machine("-m", "64", "-name", "inner", qmp=False, marks=[2 * MIB],
                    wrapper=("unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", script, "sh"))
    pid = int(subprocess.run(["pgrep", "-P", str(guest.pid)], capture_output=True, check=True, text=True).stdout.split()[0])
    answer = probe(f"qemu:{pid}", "--read", f"{2 * MIB:#x}:4096")
    assert answer["layouts"][0]["certain"] and answer["info"]["version"], answer["info"]
    assert answer["reads"][f"{2 * MIB:#x}:4096"] == pattern(2 * MIB).hex()
    assert answer["info"]["qmp_socket"] == f"/proc/{pid}/root/mnt/inner.sock"


@pytest.mark.parametrize("kind", ["anonymous", "memfd-shared", "memfd-private"])
def test_guest_that_ends(machine, ram_folder, kind):
    size = 64 * MIB
    guest = machine("-m", 64, *backend_options(kind, size, ram_folder), marks=[2 * MIB])
    with OpenProbe(f"qemu:{guest.pid}", "--read", f"{2 * MIB:#x}:4096") as opened:
        assert opened.first["reads"][f"{2 * MIB:#x}:4096"] == pattern(2 * MIB).hex()
        assert opened.again()["alive"] is True
        guest.human("system_reset")
        assert opened.again()["alive"] is True
        guest.stop()
        last = opened.again()
        assert last["alive"]["error"]["code"] == "target changed or ended"
        if kind != "memfd-shared":  # which keeps its bytes as long as somebody maps them
            fails(last["reads"][f"{2 * MIB:#x}:4096"], "target changed or ended")


def test_reused_pid(machine):
    """Another QEMU under the same pid is not taken for the first."""
    last_pid = pathlib.Path("/proc/sys/kernel/ns_last_pid")
    if not os.access(last_pid, os.W_OK):
        pytest.skip("cannot choose process ids here")
    guest = machine("-m", "64", marks=[2 * MIB])
    with OpenProbe(f"qemu:{guest.pid}", "--read", f"{2 * MIB:#x}:4096") as opened:
        guest.stop()
        for _ in range(200):
            last_pid.write_text(str(guest.pid - 1), encoding="ascii")
            successor = subprocess.Popen([QEMUS["installed"], "-display", "none", "-S", "-m", "64"], stdin=subprocess.DEVNULL)
            if successor.pid == guest.pid:
                break
            successor.kill()
            successor.wait()
        else:
            pytest.skip("the process id was not to be had again")
        try:
            wait_for(lambda: "error" not in probe(f"qemu:{successor.pid}"))
            answer = opened.again()
            fails(answer["reads"][f"{2 * MIB:#x}:4096"], "target changed or ended")
            assert answer["alive"]["error"]["code"] == "target changed or ended"
        finally:
            successor.kill()
            successor.wait()


def test_guest_that_migrated_away(machine):
    guest = machine("-m", "64")
    guest.human("cont")
    with OpenProbe(f"qemu:{guest.pid}") as opened:
        assert opened.again()["alive"] is True
        guest.human('migrate -d "exec:cat > /dev/null"')
        wait_for(lambda: "postmigrate" in guest.human("info status"))
        # Noticed within some seconds: the monitor is not asked each time.
        noticed = []
        wait_for(lambda: noticed or noticed.extend(a for a in [opened.again()["alive"]] if a is not True))
        assert "migrated away" in noticed[0]["error"]["text"]
    assert "migrated away" in fails(probe(f"qemu:{guest.pid}"), "target changed or ended")["text"]


def test_guest_that_has_not_arrived(machine, tmp_path):
    guest = machine("-m", "64", "-incoming", f"unix:{tmp_path}/in", paused=False)
    assert "not there yet" in fails(probe(f"qemu:{guest.pid}"), "unsupported")["text"]
    answer = probe(f"qemu:{guest.pid}", "--no-qmp")
    assert any("migration" in note for note in answer["info"]["notes"])


@pytest.mark.parametrize("with_qmp", [True, False], ids=["qmp", "noqmp"])
def test_machine_under_kvm(machine, public_probe, with_qmp):
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        pytest.skip("no /dev/kvm here")
    options = ("-M", "q35", "-m", "3000", "-smp", "2")
    try:
        guest = machine(*options, accelerator="kvm", marks=[2 * MIB, 4 * GIB], qmp=with_qmp)
    except RuntimeError as error:
        pytest.skip(f"QEMU cannot use KVM here: {error}")
    assert compare_everywhere(f"qemu:{guest.pid}", guest)["info"]["accelerator"] == "kvm"
    listed = [m for m in probe("--list", wrapper=only_ptrace(with_capability=True))["machines"] if m["pid"] == guest.pid]
    assert listed[0]["accelerator"] == "kvm" and listed[0]["vcpus"] == 2


@functools.cache
def huge_pages() -> bool:
    """Are there 128 MiB of huge pages, or can they be had?"""
    if int(HUGE_PAGES.read_text("ascii")) >= 64:
        return True
    with contextlib.suppress(OSError):
        HUGE_PAGES.write_text("64", encoding="ascii")
    return int(HUGE_PAGES.read_text("ascii")) >= 64


@pytest.fixture
def huge_folder():
    """A hugetlbfs of the test's own."""
    before = HUGE_PAGES.read_text("ascii") if HUGE_PAGES.exists() else None
    if os.getuid() != 0 or before is None or not huge_pages():
        pytest.skip("no huge pages to be had")
    with tempfile.TemporaryDirectory(prefix="vitrine-huge-") as folder:
        subprocess.run(["mount", "-t", "hugetlbfs", "-o", "pagesize=2M", "none", folder], check=True)
        try:
            yield pathlib.Path(folder)
        finally:
            subprocess.run(["umount", "-l", folder], check=True)
            HUGE_PAGES.write_text(before, encoding="ascii")
            huge_pages.cache_clear()


def free_huge_pages() -> int:
    return int(HUGE_PAGES.with_name("free_hugepages").read_text("ascii"))


@pytest.mark.parametrize("how", ["mem-path", "file-shared", "file-private", "memfd"])
def test_huge_pages(machine, huge_folder, how):
    options = {"mem-path": ("-mem-path", huge_folder),
               "file-shared": ("-object", f"memory-backend-file,id=m0,size=96M,share=on,mem-path={huge_folder}"),
               "file-private": ("-object", f"memory-backend-file,id=m0,size=96M,share=off,mem-path={huge_folder}"),
               "memfd": ("-object", "memory-backend-memfd,id=m0,size=96M,hugetlb=on,hugetlbsize=2M")}[how]
    options += () if how == "mem-path" else ("-machine", "memory-backend=m0")
    guest = machine("-m", "96", *options, marks=[2 * MIB, 50 * MIB])
    for extra in ((), ("--no-qmp",)):
        before = free_huge_pages()
        answer = compare_everywhere(f"qemu:{guest.pid}", guest, extra=extra, samples=5)
        after_qemu = free_huge_pages()  # QEMU's own pmemsave may fill holes
        answer = probe(f"qemu:{guest.pid}", "--read-all", *extra)
        assert answer["read_all"]["failed"] == 0 and before >= after_qemu
        assert free_huge_pages() == after_qemu, "a hole was filled"


def test_library_needs_no_writable_memory(machine):
    """Nothing of the guest is opened for writing."""
    tracer = shutil.which("strace")
    if not tracer:
        pytest.skip("strace is not installed")
    guest = machine("-m", "64", "-object", "memory-backend-memfd,id=m0,size=64M,share=on", "-machine", "memory-backend=m0",
                    marks=[2 * MIB])
    with tempfile.NamedTemporaryFile() as trace:
        probe(f"qemu:{guest.pid}", "--read-all",
              wrapper=(tracer, "-f", "-e", "trace=openat,open,mmap,ptrace,process_vm_writev,pwrite64", "-o", trace.name))
        text = pathlib.Path(trace.name).read_text("utf-8", "replace")
    assert "process_vm_writev" not in text and "pwrite64" not in text and "ptrace(" not in text
    assert not re.search(rf"openat?\(.*/proc/{guest.pid}/.*O_(RDWR|WRONLY)", text)
    assert not re.search(r"mmap\(.*PROT_WRITE.*MAP_SHARED", text)

