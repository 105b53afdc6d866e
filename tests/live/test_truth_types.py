"""Type information (BTF) as it lies in guest memory, byte for byte as the guest's own /sys/kernel/btf has it."""

import json
import pathlib
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
