"""Whole tables against drgn, a debugger that shares nothing with Vitrine: neither code nor types, which it has from the DWARF that
Debian built with the kernel. It is believed only where it first agrees with the guest's own account (the control)."""

import dataclasses
import json
import subprocess

import pytest
from truth_compare import Comparison, Explanation, of_image
from truth_processes import EXPLANATIONS, compare_rows, expected_process, expected_thread, found_row
from vitrine_guests import NotAvailable, cached, drgn

SCRIPT = "tests/live/judges/drgn_tables.py"
# Columns that both have mean the same; what makes up a key, and columns in which drgn says something else.
TABLES = {
    "processes": ("pid",),
    "process_threads": ("tid",),
    "kernel_modules": ("name",),
    "process_namespaces": ("pid",),
    "mounts": ("mount_namespace", "mount_id"),
    "process_open_files": ("pid", "fd"),
    "process_open_sockets": ("pid", "fd"),
    "process_memory_map": ("pid", "start"),
}
CONTROL = ("pid", "comm", "parent", "state", "uid", "gid", "euid", "egid", "suid", "sgid", "threads", "nice", "kernel_thread", "start_ns",
           "flags", "pgroup", "session")
CONTROL_OF_THREADS = ("pid", "tid", "uid", "state", "nice", "start_ns", "kernel_thread")
FEWEST = {"processes": 3000, "process_threads": 1500, "kernel_modules": 200, "process_namespaces": 2000, "mounts": 200,
          "process_open_files": 10_000, "process_open_sockets": 150, "process_memory_map": 15_000}
GUESTS = ("k61", "k61nokaslr", "k61la57")
TCP = 6


@dataclasses.dataclass(frozen=True)
class Judge:
    """What drgn found in the core of a guest, and what the program finds in the same file."""

    subject: object
    said: dict
    vitrine: object

    def rows(self, sql: str) -> list:
        return self.vitrine.rows("sql", self.subject.target, sql)


@pytest.fixture(scope="module")
def said(request, tmp_path_factory):
    """Runs drgn once for each guest; kept for the tests of this file."""
    known = {}

    def ask(images) -> dict:
        if images.id not in known:
            known[images.id] = run_drgn(images, tmp_path_factory.mktemp("drgn"), request.config.rootpath)
        return known[images.id]
    return ask


def run_drgn(images, folder, project) -> dict:
    try:
        words = drgn.ensure()
        vmlinux = drgn.ensure_debug_kernel(cached(images.meta["config"]["kernel"]))
    except NotAvailable as error:
        pytest.skip(f"no judge: {error}")
    text, out = folder / "vmcoreinfo", folder / "out.json"
    text.write_bytes(drgn.vmcoreinfo(images))
    done = subprocess.run([*words, str(project / SCRIPT), str(images.elf), str(vmlinux), str(text), str(out)], capture_output=True,
                          check=False, timeout=120)
    assert done.returncode == 0, f"the judge failed: {done.stderr.decode('utf-8', 'replace')[-1500:]}"
    return json.loads(out.read_text(encoding="utf-8"))


@pytest.fixture
def judge(vitrine, images, said, record_property) -> Judge:
    """After the control: a judge that the guest contradicts judges nothing."""
    found = Judge(of_image(images, "elf"), said(images), vitrine)
    control(found, record_property)
    return found


def control(judge: Judge, record_property) -> None:
    truth, said = judge.subject.truth, judge.said
    comparison = Comparison(judge.subject, EXPLANATIONS)
    expected = {pid: {name: expected_process(process)[name] for name in CONTROL} for pid, process in truth.processes.items()}
    compare_rows(comparison, expected, {row["pid"]: found_row({**row, "name": row["comm"]}) for row in said["processes"]}, truth.processes)
    expected = {tid: {name: expected_thread(task)[name] for name in CONTROL_OF_THREADS} for tid, task in truth.threads.items()}
    compare_rows(comparison, expected, {row["tid"]: found_row(row) for row in said["process_threads"]}, truth.threads)
    modules = {row["name"]: (row["size"], int(row["address"], 16)) for row in said["kernel_modules"]}
    for name, module in truth.modules.items():
        comparison.equal(name, "size and address", (module.size, module.address), modules.get(name))
    assert len(modules) == len(truth.modules)
    try:
        comparison.finish(record_property, at_least=150 * len(CONTROL))
    except BaseException as error:
        raise AssertionError(f"drgn {said['drgn']} is not trusted, for it contradicts the guest itself: {error}") from error


def by_key(rows: list, key: tuple) -> dict:
    found = {tuple(row[name] for name in key): row for row in rows}
    assert len(found) == len(rows), "twice"
    return found


def same_rows(comparison: Comparison, wanted: dict, found: dict) -> None:
    for key in sorted(wanted.keys() | found.keys()):
        if key not in wanted or key not in found:
            comparison.only_one(key, "presence", wanted.get(key), found.get(key), None)
            continue
        for field, value in wanted[key].items():
            comparison.equal(key, field, value, found[key][field])


def meet_in_path(row: dict, other: dict) -> None:
    """drgn's paths do not say that a file is deleted, and name what has none after its file system: [sockfs]. Those are not compared, nor
    are names of what is no file: [heap]."""
    if "d_path" in row:
        row["path"] = row.pop("d_path")
    if (row["path"] or other["path"] or "[").startswith("["):
        del row["path"]
    elif other["path"] is not None:
        other["path"] = other["path"].removesuffix(" (deleted)")


def meet(table: str, wanted: dict, found: dict) -> None:
    """Takes out what drgn does not have."""
    for key, row in wanted.items():
        other = found.get(key)
        if other is None:
            continue
        if "d_path" in row or table == "processes":
            meet_in_path(row, other)
        # Kernel threads: the first 15 bytes of the name, and of workers not what they work for.
        if table == "process_threads" and row["kernel_thread"] == 1:
            assert other["name"].startswith(row["name"])
            del row["name"]


@pytest.mark.guests(*GUESTS)
@pytest.mark.parametrize("table", TABLES)
def test_table_equals_drgn(judge, table, record_property):
    # Sockets that no descriptor leads to are in no table of descriptors.
    rows = [row for row in judge.rows(f"SELECT * FROM {table}") if row.get("pid", 0) is not None]
    wanted, found = by_key(judge.said[table], TABLES[table]), by_key(rows, TABLES[table])
    meet(table, wanted, found)
    comparison = Comparison(judge.subject, {})
    same_rows(comparison, wanted, found)
    comparison.finish(record_property, at_least=FEWEST[table])


@pytest.mark.guests(*GUESTS)
def test_connections_of_the_kernel(judge):
    """Those in its table of connections, held by a descriptor or not."""
    wanted = {row["sock"]: row["sk_state"] for row in judge.said["established"]}
    found = {row["sock"]: row["sk_state"] for row in judge.rows(
        f"SELECT DISTINCT sock, sk_state FROM process_open_sockets WHERE protocol = {TCP} AND found_in LIKE '%hash%' AND state <> 'LISTEN'")}
    assert found == wanted and len(wanted) >= 2


@pytest.mark.guests(*GUESTS)
def test_arguments_and_environments(judge, record_property):
    comparison = Comparison(judge.subject, {"drgn leaves out what no NUL ends": Explanation(
        lambda difference, context: difference.field == "cmdline" and difference.expected == "" and difference.found.startswith("vitrine: "), 1)})
    rows = {str(row["pid"]): row["cmdline"] for row in judge.rows("SELECT pid, cmdline FROM processes WHERE mm IS NOT NULL")}
    for pid, words in judge.said["arguments"].items():
        comparison.equal(pid, "cmdline", words if words is None else words.rstrip(" "), rows[pid])
    variables = {}
    for row in judge.rows("SELECT pid, key, value FROM process_envs ORDER BY pid, position"):
        variables.setdefault(str(row["pid"]), []).append(
            row["key"] if row["value"] is None else f"{row['key']}={row['value']}")
    for pid, words in judge.said["environments"].items():
        # A title that was written over arguments and environment leaves NULs behind.
        wanted = None if words is None else [word for word in words if word]
        comparison.equal(pid, "environment", wanted, variables.get(pid, None if words is None else []))
    comparison.finish(record_property, at_least=300)


@pytest.mark.guests(*GUESTS)
def test_addresses_of_symbols(judge, record_property):
    """Of each name that stands for one address on both sides: drgn has them from the file's symbol table, moved by KASLR."""
    found = {}
    for row in judge.rows("SELECT name, min(address) AS address FROM symbols WHERE module IS NULL AND type <> 'A' "
                          "GROUP BY name HAVING count(*) = 1"):
        found[row["name"]] = int(row["address"], 16) if isinstance(row["address"], str) else row["address"] % (1 << 64)
    comparison = Comparison(judge.subject, {})
    for name in judge.said["symbols"].keys() & found.keys():
        comparison.equal(name, "address", hex(judge.said["symbols"][name]), hex(found[name]))
    comparison.finish(record_property, at_least=50_000)


@pytest.mark.guests("k61")
def test_members_of_structures(judge, record_property):
    """BTF and DWARF describe the same structures."""
    names = ", ".join(f"'{name}'" for name in judge.said["sizes"])
    sizes = {row["name"]: row["size"] for row in judge.rows(
        f"SELECT name, size FROM types WHERE kind = 'structure' AND module IS NULL AND name IN ({names})")}
    found = {}
    for row in judge.rows("SELECT type_name, name, offset, bit_offset, bit_size FROM type_members WHERE kind = 'structure' AND "
                          f"module IS NULL AND level = 0 AND type_name IN ({names}) ORDER BY type_name, position"):
        found.setdefault(row["type_name"], []).append((row["name"] or "", row["offset"] * 8 + row["bit_offset"], row["bit_size"]))
    wanted = {}
    for row in judge.said["members"]:
        wanted.setdefault(row["type_name"], []).append((row["name"], row["bit_offset"], row["bit_size"]))
    comparison = Comparison(judge.subject, {})
    for name, members in wanted.items():
        comparison.equal(name, "size", judge.said["sizes"][name], sizes.get(name))
        comparison.equal(name, "number of members", len(members), len(found.get(name, [])))
        for member, other in zip(members, found.get(name, [])):
            comparison.equal(name, member[0], member, other)
    comparison.finish(record_property, at_least=800)


@pytest.mark.guests(*GUESTS)
def test_kernel(judge):
    row = judge.rows("SELECT version, hostname, domainname, memory_total, command_line FROM kernel_info")[0]
    assert row == judge.said["kernel"]
