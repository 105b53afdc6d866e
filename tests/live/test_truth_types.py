"""Type information (BTF) as it lies in guest memory, byte for byte as the guest's own /sys/kernel/btf has it."""

import json
import pathlib
import struct
import subprocess
import tempfile

import pytest
from monitors import tool
from truth_compare import of_guest, of_image


def dump(subject, folder: str) -> dict:
    done = subprocess.run([tool("guest_probe"), "btf", subject.target, folder], capture_output=True, check=False, timeout=60)
    assert done.returncode == 0, f"{subject}: {done.stderr.decode('utf-8', 'replace')}"
    return json.loads(done.stdout)


def check_types(subject, record_property):
    truth = subject.truth
    with tempfile.TemporaryDirectory() as name:
        account = dump(subject, name)
        folder = pathlib.Path(name)
        assert (folder / "vmlinux").read_bytes() == truth.btf, f"{subject}: the kernel's BTF differs"
        assert account["types"] > 50_000
        found = {module["name"]: (folder / str(module["file"])).read_bytes() for module in account["modules"]}
    assert len(found) == len(account["modules"]), "a module twice"
    assert found.keys() == truth.module_btf.keys()
    different = [module for module, blob in truth.module_btf.items() if found[module] != blob]
    assert not different, f"{subject}: BTF of modules differs: {different}"
    assert not account["unread"]
    assert not [module for module in account["modules"] if module["error"]]
    # Kernels before 5.11 have none; all others have as many as there are modules.
    assert account["end"] == ("complete" if truth.module_btf else "none")
    assert not truth.module_btf or truth.module_btf.keys() == truth.modules.keys()
    record_property("compared", f"{subject.id}: {len(truth.btf)} bytes of the kernel, {sum(map(len, found.values()))} of "
                                f"{len(found)} modules")


# Bytes behind a record of BTF, by kind: so many, and so many for each of its parts (include/uapi/linux/btf.h).
FIXED = {1: 4, 3: 12, 14: 4, 17: 4}
EACH = {4: 12, 5: 12, 6: 8, 13: 8, 15: 12, 19: 12}
LISTED = {1: "integer", 4: "structure", 5: "union", 6: "enumeration", 8: "typedef", 16: "floating", 19: "enumeration"}


def named_types(blob: bytes, base_strings: int) -> list:
    """(name, kind) of each record of a module's BTF whose type has a name, in order."""
    header, type_at, type_size, text_at, text_size = struct.unpack_from("<IIIII", blob, 4)
    records = blob[header + type_at:header + type_at + type_size]
    text = blob[header + text_at:header + text_at + text_size]
    found, at = [], 0
    while at < len(records):
        name, info, _ = struct.unpack_from("<III", records, at)
        kind, parts = info >> 24 & 0x1f, info & 0xffff
        at += 12 + FIXED.get(kind, 0) + EACH.get(kind, 0) * parts
        # Names that the kernel's BTF has too lie there.
        if kind in LISTED and name >= base_strings:
            start = name - base_strings
            found.append((text[start:text.index(b"\0", start)].decode(), LISTED[kind]))
    return found


def test_types_of_a_module_are_listed(vitrine, images):
    """The names in a module's own BTF, through the program; and one of them asked for by name alone."""
    base, modules = images.truth.btf, images.truth.module_btf
    if not modules:
        pytest.skip("kernels before 5.11 have no types of modules")
    (base_strings,) = struct.unpack_from("<I", base, 20)
    module = max(modules, key=lambda name: len(modules[name]))
    wanted = named_types(modules[module], base_strings)
    assert len(wanted) > 5
    rows = vitrine.rows("types", images.raw, "--module", module)
    assert {row["module"] for row in rows} == {module}
    own = {name for name, _ in wanted}
    assert [(row["name"], row["kind"]) for row in rows if row["name"] in own] == wanted
    everywhere = b"".join(modules[name] for name in modules if name != module)
    name = next(n for n, kind in wanted if kind == "structure" and b"\0" + n.encode() + b"\0" not in base + everywhere)
    (row,) = vitrine.rows("types", images.raw, name)
    assert (row["name"], row["kind"], row["module"]) == (name, "structure", module)
    assert vitrine.rows("types", images.raw, name, "--module", module) == [row]
    other = next((each for each in modules if each != module), "nothing")
    assert vitrine("types", images.raw, name, "--module", other).returncode == 5


@pytest.mark.parametrize("form", ["raw", "elf"])
def test_types_of_an_image(images, form, record_property):
    check_types(of_image(images, form), record_property)


def test_types_of_a_running_guest(guest, record_property):
    check_types(of_guest(guest), record_property)


def test_named_types_are_listed(vitrine, images):
    """The list is not empty, says which kinds, and finds what the layouts rest on."""
    rows = vitrine.rows("types", images.raw)
    kinds = {}
    for row in rows:
        kinds.setdefault(row["kind"], []).append(row["name"])
    assert {"task_struct", "mm_struct", "cred", "module"} <= set(kinds["structure"])
    assert len(kinds["structure"]) > 5_000
    assert "pid_t" in kinds["typedef"] and "pid_type" in kinds["enumeration"]
