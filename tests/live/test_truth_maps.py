"""Mappings, environments, what the kernel says of itself and members of types, against /proc and the guest's own BTF."""

import struct

import pytest
from truth_compare import Comparison, Explanation, of_guest, of_image, shown
from test_truth_modules import DEFAULT_TEXT, build_id

PAGE = 4096
# What /proc/PID/maps does with line breaks (seq_file_path()).
ESCAPES = (("\n", "\\012"),)


def of_collector(difference, context) -> bool:
    return context is not None and context.pid == context.truth.collector


MAPS_EXPLANATIONS = {
    # It went on allocating memory after it had written its own mappings.
    "the process that wrote the truth": Explanation(of_collector, 4),
}


def expected_lines(process) -> list:
    return [(vma.start, vma.end, vma.flags, vma.offset, vma.device, vma.inode, shown(vma.path)) for vma in process.vmas]


def found_lines(rows: list) -> list:
    found = []
    for row in rows:
        path = row["path"]
        for raw, escaped in ESCAPES:
            path = path.replace(raw, escaped) if path is not None else None
        found.append((int(row["start"], 16), int(row["end"], 16), row["permissions"], row["offset"], row["device"], row["inode"], path))
    return found


def by_pid(rows: list) -> dict:
    found = {}
    for row in rows:
        found.setdefault(row["pid"], []).append(row)
    return found


def check_maps(vitrine, subject, record_property):
    """Every line of every process, in order; and what must hold of the columns that /proc does not show."""
    found = by_pid(vitrine.rows("table", "process_memory_map", subject.target))
    comparison = Comparison(subject, MAPS_EXPLANATIONS)
    expected = {pid: expected_lines(process) for pid, process in subject.truth.processes.items() if process.vmas}
    for pid in sorted(expected.keys() | found.keys()):
        process = subject.truth.processes.get(pid)
        lines = (expected.get(pid, []), found_lines(found.get(pid, [])))
        comparison.equal(pid, "number of lines", len(lines[0]), len(lines[1]), process)
        for number, (wanted, have) in enumerate(zip(*lines)):
            comparison.equal((pid, number), "line", wanted, have, process)
    comparison.finish(record_property, at_least=2000)
    for rows in found.values():
        for row in rows:
            path, flags = row["path"], set(row["flags"].split())
            assert row["size"] == int(row["end"], 16) - int(row["start"], 16)
            assert row["pseudo"] == int(row["inode"] == 0 and path != "")
            assert ("READ" in flags, "WRITE" in flags, "EXEC" in flags) == tuple(letter in row["permissions"] for letter in "rwx")
            assert ("MAYSHARE" in flags) == row["permissions"].endswith("s")
            assert (row["file"] is None) == (row["inode"] == 0)
            if path in ("[heap]", "[stack]"):
                assert row["anonymous"] == 1
            if path == "[stack]":
                assert "GROWSDOWN" in flags


def expected_variables(process) -> list:
    texts = [text for text in process.environ.split(b"\0") if text]
    pairs = [(text.partition(b"=")) for text in texts]
    return [(shown(key), shown(value) if equals else None) for key, equals, value in pairs]


def check_environments(vitrine, subject, record_property):
    found = by_pid(vitrine.rows("table", "process_envs", subject.target))
    comparison = Comparison(subject, {})
    for pid in sorted(subject.truth.processes.keys() | found.keys()):
        process = subject.truth.processes.get(pid)
        rows = found.get(pid, [])
        assert [row["position"] for row in rows] == list(range(len(rows)))
        comparison.equal(pid, "variables", expected_variables(process) if process else None, [(row["key"], row["value"]) for row in rows])
    comparison.finish(record_property, at_least=150)
    assert sum(len(rows) for rows in found.values()) > 400


def check_kernel(vitrine, subject):
    truth = subject.truth
    (row,) = vitrine.rows("table", "kernel_info", subject.target)
    line = truth.text("/proc/cmdline")
    memory = dict(text.split(":", 1) for text in truth.text("/proc/meminfo").splitlines())
    flags = truth.text("/proc/cpuinfo").split("flags", 1)[1].split("\n", 1)[0].split()
    text = truth.symbol("_text")
    words = line.split()
    expected = {
        "version": truth.release, "banner": truth.version, "build_id": build_id(truth["/sys/kernel/notes"]), "command_line": line,
        "arguments": " ".join(word for word in words if not word.startswith(("BOOT_IMAGE=", "root="))),
        "path": next((word[11:] for word in words if word.startswith("BOOT_IMAGE=")), None),
        "device": next((word[5:] for word in words if word.startswith("root=")), None),
        "hostname": truth.text("uname").splitlines()[1], "cpus_online": truth.text("/proc/cpuinfo").count("processor\t"),
        "memory_total": int(memory["MemTotal"].split()[0]) * 1024 // PAGE, "page_size": PAGE,
        "paging_levels": 5 if "la57" in flags else 4, "page_table_isolation": int("pti" in flags),
        "taints": int(truth.text("/proc/sys/kernel/tainted")), "text": text, "kaslr_slide": text - DEFAULT_TEXT,
    }
    found = {**row, **{name: int(row[name], 16) for name in ("text", "kaslr_slide", "taints")}}
    wrong = {name: (value, found[name]) for name, value in expected.items() if found[name] != value}
    assert not wrong, f"{subject}: (the guest says, found): {wrong}"
    clocks = truth.clocks
    assert abs(row["boot_time"] - (clocks["realtime"] - clocks["boottime"])) <= 1.01
    # It ran on since it wrote this; its clock is as old as the last tick.
    ran_on = row["uptime"] / 1e9 - clocks["boottime"]
    assert -1.0 <= ran_on <= (1800.0 if subject.target.startswith("qemu:") else 30.0)


KINDS = {4: "structure", 5: "union", 6: "enumeration", 19: "enumeration"}
FIXED = {1: 4, 3: 12, 14: 4, 17: 4}
EACH = {4: 12, 5: 12, 6: 8, 13: 8, 15: 12, 19: 12}
TRANSPARENT = {8, 9, 10, 11, 18}


class Btf:
    """The kernel's BTF, read by a parser of this test's own."""

    def __init__(self, blob: bytes):
        header, type_at, type_size, text_at, text_size = struct.unpack_from("<IIIII", blob, 4)
        records = blob[header + type_at:header + type_at + type_size]
        self.text = blob[header + text_at:header + text_at + text_size]
        self.types, at = [(0, "", False, 0, 0, b"")], 0
        while at < len(records):
            name, info, size = struct.unpack_from("<III", records, at)
            kind, parts = info >> 24 & 0x1f, info & 0xffff
            length = FIXED.get(kind, 0) + EACH.get(kind, 0) * parts
            self.types.append((kind, self.name(name), bool(info >> 31), size, parts, records[at + 12:at + 12 + length]))
            at += 12 + length

    def name(self, at: int) -> str:
        return self.text[at:self.text.index(b"\0", at)].decode()

    def strip(self, number: int) -> int:
        while self.types[number][0] in TRANSPARENT:
            number = self.types[number][3]
        return number

    def size(self, number: int):
        kind, _, _, size, _, data = self.types[self.strip(number)]
        if kind == 2:
            return 8
        if kind == 3:
            element, _, count = struct.unpack("<III", data)
            inner = self.size(element)
            return None if inner is None else inner * count
        return size if kind in (1, 4, 5, 6, 16, 19) else None

    def enumerators(self, number: int) -> list:
        kind, _, signed, _, parts, data = self.types[number]
        found = []
        for index in range(parts):
            if kind == 6:
                name, value = struct.unpack_from("<Ii" if signed else "<II", data, 8 * index)
            else:
                name, low, high = struct.unpack_from("<III", data, 12 * index)
                value = low | high << 32
                value -= (value >> 63) << 64
            found.append((self.name(name), None, None, None, None, None, value, 0))
        return found

    def members(self, number: int, base: int = 0, level: int = 0) -> list:
        """(name, offset, bit_offset, bit_size, size, count, value, level) of each, those of members without a name behind it."""
        _, _, fields, _, parts, data = self.types[number]
        found = []
        for index in range(parts):
            name, kind, place = struct.unpack_from("<III", data, 12 * index)
            bits, width = (place & 0xffffff, place >> 24) if fields else (place, 0)
            inner = self.strip(kind)
            count = struct.unpack("<III", self.types[inner][5])[2] if self.types[inner][0] == 3 else None
            bits += base
            found.append((self.name(name) or None, bits // 8, bits % 8, width or None, self.size(kind), count, None, level))
            if not self.name(name) and self.types[inner][0] in (4, 5):
                found += self.members(inner, bits, level + 1)
        return found

    def listed(self) -> dict:
        """Number to (name, kind, members) of each type that has any."""
        found = {}
        for number, (kind, name, _, target, _, _) in enumerate(self.types):
            of = number
            if kind == 8 and target and self.types[target][0] in KINDS and not self.types[target][1]:
                of = target
            elif kind not in KINDS or (not name and kind in (4, 5)):
                continue
            kind = self.types[of][0]
            parts = self.enumerators(of) if kind in (6, 19) else self.members(of)
            if parts:
                found[number] = (name or None, KINDS[kind], parts)
        return found


FIELDS = ("name", "offset", "bit_offset", "bit_size", "size", "count", "value", "level")


def check_members(vitrine, subject, record_property):
    """Every member of every type of the kernel, in order."""
    rows = [row for row in vitrine.rows("table", "type_members", subject.target) if row["module"] is None]
    found = {}
    for row in rows:
        _, _, parts = found.setdefault(row["type_id"], (row["type_name"], row["kind"], []))
        assert row["position"] == len(parts)
        parts.append(tuple(row[field] for field in FIELDS))
    expected = Btf(subject.truth.btf).listed()
    comparison = Comparison(subject, {})
    for number in sorted(expected.keys() | found.keys()):
        comparison.equal(number, "type", expected.get(number), found.get(number))
    comparison.finish(record_property, at_least=5000)
    assert len(rows) > 50_000


CHECKS = {"maps": check_maps, "environments": check_environments}


@pytest.mark.parametrize("what", CHECKS)
@pytest.mark.parametrize("form", ["raw", "elf"])
def test_tables_of_an_image(vitrine, images, form, what, record_property):
    CHECKS[what](vitrine, of_image(images, form), record_property)


@pytest.mark.parametrize("what", CHECKS)
def test_tables_of_a_running_guest(vitrine, guest, what, record_property):
    CHECKS[what](vitrine, of_guest(guest), record_property)


@pytest.mark.parametrize("form", ["raw", "elf"])
def test_kernel_of_an_image(vitrine, images, form):
    check_kernel(vitrine, of_image(images, form))


def test_kernel_of_a_running_guest(vitrine, guest):
    check_kernel(vitrine, of_guest(guest))


def test_members_of_types(vitrine, images, record_property):
    check_members(vitrine, of_image(images, "raw"), record_property)
