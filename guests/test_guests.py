#!/usr/bin/python3
"""Tests of the guests' tools, without and with a running guest.

  guests/test_guests.py            all
  guests/test_guests.py Offline    only what needs no guest
"""

import json
import os
import pathlib
import struct
import subprocess
import sys
import tempfile
import time
import unittest
from unittest import mock

import vitrine_guests as guests
from vitrine_guests import apt_source, dumps, truth
from vitrine_guests.initramfs import Cpio

HERE = pathlib.Path(__file__).resolve().parent
KERNEL = "k61"


class Offline(unittest.TestCase):
    """Parsers and writers."""

    def test_deb822_sources(self):
        text = ("# comment\nTypes: deb deb-src\nURIs: https://mirror.example/debian\nSuites: bookworm bookworm-updates\n"
                "Components: main contrib\nSigned-By: /keys/a.gpg\n\n"
                "Types: deb\nEnabled: no\nURIs: https://off.example/\nSuites: bookworm\nComponents: main\n\n"
                "Types: deb-src\nURIs: https://src.example/\nSuites: bookworm\nComponents: main\n")
        found = apt_source.parse_deb822(text)
        self.assertEqual([source.suite for source in found], ["bookworm", "bookworm-updates"])
        self.assertEqual(found[0].options, (("signed-by", "/keys/a.gpg"),))

    def test_one_line_sources(self):
        found = apt_source.parse_one_line("#deb http://x.example/ a main\n"
                                          "deb [arch=amd64 signed-by=/k.gpg] http://y.example/debian b main contrib # c\n")
        self.assertEqual([(s.uri, s.suite, s.components) for s in found],
                         [("http://y.example/debian", "b", ("main", "contrib"))])
        self.assertEqual(found[0].options, (("signed-by", "/k.gpg"),))

    def test_security_archive_is_another(self):
        machine = (apt_source.Source("http://m.example/debian", "bookworm", ("main",), ()),
                   apt_source.Source("http://s.example/security", "bookworm-security", ("main",), ()))
        with mock.patch.object(apt_source, "machine_sources", lambda: machine), \
             mock.patch.object(apt_source, "os_codename", lambda: "bookworm"):
            self.assertEqual(apt_source.source_for("bullseye-security").uri, "http://s.example/security")
            self.assertEqual(apt_source.source_for("sid").uri, "http://m.example/debian")
        with mock.patch.object(apt_source, "machine_sources", lambda: machine[:1]), \
             mock.patch.object(apt_source, "os_codename", lambda: "bookworm"):
            with self.assertRaises(apt_source.AptError):
                apt_source.source_for("trixie-security")

    def test_no_qemu_is_said_to_be_missing(self):
        config = guests.GuestConfig(qemu="/nonexistent/qemu")
        with self.assertRaisesRegex(guests.Unavailable, "/nonexistent/qemu is not installed"):
            guests.Guest.boot(config)
        with self.assertRaisesRegex(guests.Unavailable, "/nonexistent/qemu is not installed"):
            guests.ensure_images("none", config)

    def test_a_dump_through_a_pipe(self):
        with tempfile.TemporaryDirectory() as name:
            folder = pathlib.Path(name)
            guest = mock.Mock(folder=folder)
            with open(folder / "target", "w+b") as target, dumps._Pipe(guest) as pipe:  # pylint: disable=protected-access
                self.assertEqual(pipe.copy(lambda: pipe.path.write_bytes(bytes(200_000) + b"end"), target, 4096), 4096 + 200_003)
                target.seek(4096 + 200_000)
                self.assertEqual(target.read(), b"end")
                with self.assertRaises(guests.QmpError):  # QEMU refuses, and never opens it
                    pipe.copy(mock.Mock(side_effect=guests.QmpError("no")), target, 0)
            self.assertEqual([path.name for path in folder.iterdir()], ["target"])

    def test_cpio_is_reproducible_and_readable(self):
        def make(names):
            archive = Cpio()
            for name in names:
                archive.file(name, name.encode())
            archive.link("link", "a/b")
            return archive.bytes()
        data = make(["a/b", "z", "c"])
        self.assertEqual(data, make(["c", "a/b", "z"]))
        listed = subprocess.run(["cpio", "-it", "--quiet"], input=data, capture_output=True, check=True).stdout
        self.assertEqual(listed.split(), [b"a", b"a/b", b"c", b"link", b"z"])

    def test_memory_split_at_the_hole(self):
        gib = 1 << 30
        for machine, mib, low in (("pc", 3584, 3 * gib), ("pc", 3580, 3580 << 20), ("pc", 5120, 3 * gib),
                                  ("q35", 2816, 2 * gib), ("q35", 2812, 2812 << 20), ("q35", 5120, 2 * gib)):
            config = guests.GuestConfig(machine=machine, memory_mib=mib)
            self.assertEqual(config.low_memory, low, (machine, mib))
            self.assertEqual(sum(size for _, size in config.physical_ranges), mib << 20)

    def test_matrix_names_known_kernels(self):
        matrix = guests.load_matrix()
        self.assertEqual({config.kernel for config in matrix.values()}, set(guests.ids()))
        self.assertGreaterEqual(len({config.backend for config in matrix.values()}), 6)

    def _disk(self, payload: bytes, count: int, state: int = truth.COMPLETE) -> pathlib.Path:
        header = truth.HEADER.pack(truth.MAGIC, 1, state, len(payload), count, truth.fnv1a(payload), 1, 7, 0)
        path = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory())) / "truth"
        path.write_bytes(header.ljust(truth.PAYLOAD_OFFSET, b"\0") + payload)
        return path

    @staticmethod
    def _entry(kind: str, name: bytes, data: bytes) -> bytes:
        body = name + data
        return struct.pack("<IIQ", ord(kind), len(name), len(data)) + body + b"\0" * (-len(body) % 8)

    def test_truth_reads_what_is_there(self):
        payload = self._entry("f", b"/proc/5/comm", b"a\xff\n\n") + self._entry("l", b"/proc/5/exe", b"/bin/x") \
            + self._entry("e", b"/proc/5/cwd", b"2")
        found = guests.Truth(self._disk(payload, 3))
        found.verify()
        self.assertEqual(found["/proc/5/comm"], b"a\xff\n\n")
        self.assertIsNone(found.get("/proc/5/exe"))
        self.assertEqual(found.entries[b"/proc/5/cwd"], ("e", b"2"))

    def test_truth_refuses_what_is_broken(self):
        payload = self._entry("f", b"name", b"data")
        with self.assertRaises(guests.TruthError):
            guests.Truth(self._disk(payload, 1, truth.EMPTY))
        for bad, count in ((payload[:-8], 1), (payload + b"\0" * 8, 1),
                           (struct.pack("<IIQ", 102, 4, 1 << 60) + b"name", 1)):
            with self.assertRaises(guests.TruthError):
                len(guests.Truth(self._disk(bad, count)).entries)
        path = self._disk(payload, 1)
        path.write_bytes(path.read_bytes()[:-9] + b"\1" * 9)
        with self.assertRaises(guests.TruthError):
            guests.Truth(path).verify()


class Live(unittest.TestCase):
    """A guest that really runs."""

    @classmethod
    def setUpClass(cls):
        try:
            guests.ensure(KERNEL)
        except guests.NotAvailable as error:
            raise unittest.SkipTest(f"not available: {KERNEL}: {error}") from error

    def test_truth_is_whole(self):
        with guests.Guest.boot(kernel=KERNEL, backend="memfd-shared") as guest:
            known = guest.wait_ready().truth
            known.verify()
            self.assertEqual(known.workload_failures, [])
            self.assertEqual(known.release, guest.kernel.release)
            self.assertEqual(known.tasks_before, known.tasks_after)
            self.assertTrue(80_000 < len(known.core_symbols) < 300_000)
            self.assertTrue(all(symbol.address for symbol in known.core_symbols if symbol.type in "tT"))
            self.assertEqual(known.btf[:3], b"\x9f\xeb\x01")
            self.assertEqual(set(known.modules), {name for name, _ in guest.kernel.modules})
            self._check_workload(known)
            self._check_memory(guest, known)

    def _check_workload(self, known):
        by_label = {label: known.processes.get(pid) for label, pid in known.workload.items()}
        self.assertEqual([label for label, process in by_label.items() if process is None], ["orphan-maker (ended)"])
        self.assertEqual(by_label["name-bad-utf8"].comm, b"\xff\xfe\x80bad\xc3")
        self.assertEqual(by_label["name-empty"].comm, b"")
        self.assertEqual(by_label["name-newline"].comm, b"new\nline")
        states = {"zombie-42": "Z", "stopped": "T", "traced": "t", "vfork-parent": "D", "leader-exited": "Z"}
        self.assertEqual({label: by_label[label].state for label in states}, states)
        self.assertEqual(by_label["pidns2-child"].nspids[1:], (5, 2))
        self.assertTrue(by_label["exe-deleted"].exe.endswith(b" (deleted)"))
        self.assertEqual(by_label["chroot"].root, b"/srv/jail")
        self.assertEqual(len(by_label["threads"].threads), 9)
        at, depth = by_label["deep-44"], 0
        while at.ppid in known.processes:
            at, depth = known.processes[at.ppid], depth + 1
        self.assertGreater(depth, 40)

    def _check_memory(self, guest, known):
        """The guest's own page map leads to the right bytes in its memory."""
        pages = known.processes[known.workload["beacon"]].pages
        found = 0
        with open(guest.ram_file, "rb") as memory:
            for address, frame in pages:
                memory.seek(frame << 12)
                found += memory.read(48).startswith(b"VITRINE BEACON 0x%x " % address)
        self.assertEqual(found, 640)

    def test_guest_ends_with_its_parent(self):
        with subprocess.Popen([HERE / "run", KERNEL], stdout=subprocess.PIPE, text=True) as runner:
            pid = json.loads(runner.stdout.readline())["pid"]
            runner.kill()
        deadline = time.monotonic() + 10
        while self._runs(pid) and time.monotonic() < deadline:
            time.sleep(0.05)
        self.assertFalse(self._runs(pid))

    @staticmethod
    def _runs(pid: int) -> bool:
        try:
            return pathlib.Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").split(") ")[1][0] != "Z"
        except OSError:
            return False

    def test_nothing_is_left_behind(self):
        with guests.Guest.boot(kernel=KERNEL, backend="file-shared", truth_mib=0, qmp=False) as guest:
            folder, ram, pid = guest.folder, guest.ram_file, guest.pid
            guest.wait_ready()
            self.assertTrue(os.path.exists(ram))
        self.assertFalse(folder.exists() or os.path.exists(ram) or self._runs(pid))


if __name__ == "__main__":
    sys.exit(unittest.main(verbosity=2))
