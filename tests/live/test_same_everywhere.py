"""A guest that is paused gives the same answers alive, as a raw image, as QEMU's ELF core, and as the file its RAM lies in."""

import json

import pytest

# What is the form's own and no table of the guest: a raw image has no registers, and how RAM is stored differs.
OF_THE_MACHINE = {"vcpus", "guest_memory_map"}
# What the statement before lacked.
OF_THE_ANSWER = {"vitrine_diagnostics"}
# By which route the kernel was found depends on what the form gives.
OF_THE_FORM = {"kernel_info": "route"}


def tables_of_guests(vitrine) -> list:
    """All tables but those."""
    known = {row["name"] for row in vitrine.rows("schema") if row["kind"] == "table"}
    assert OF_THE_MACHINE < known and {"processes", "process_threads", "kernel_modules", "symbols", "types"} <= known
    return sorted(known - OF_THE_MACHINE - OF_THE_ANSWER)


FEW = {"listening_ports": 1, "kernel_info": 0}


def rows_of(vitrine, table, target) -> list:
    rows = json.loads(vitrine.ok("table", table, target, "--format", "json").stdout)
    for row in rows if table in OF_THE_FORM else ():
        assert row.pop(OF_THE_FORM[table]) is not None
    return rows


def check_forms(vitrine, guest, folder, record_property, forms):
    """`forms`: those that the guest must have beside its life."""
    with guest.paused():
        targets = {"raw": guest.dump_raw(folder / "raw"), "ELF": guest.dump_elf(folder / "elf")}
        if guest.ram_file:
            targets["RAM file"] = f"raw:{guest.ram_file}"
        assert set(targets) == forms
        sizes = {}
        for table in tables_of_guests(vitrine):
            alive = rows_of(vitrine, table, f"qemu:{guest.pid}")
            sizes[table] = len(alive)
            assert sizes[table] > FEW.get(table, 5), table
            for form, target in targets.items():
                other = rows_of(vitrine, table, target)
                assert other == alive, f"{table}: {form}: {differences(alive, other)}"
    for name in ("raw", "elf"):
        (folder / name).unlink()
    record_property("compared", f"{guest.config.kernel}, {guest.config.backend}: {sizes} rows in {len(targets)} forms")
    print(sizes, sorted(targets))


def differences(alive: list, other: list) -> str:
    """The first of them."""
    unequal = [(left, right) for left, right in zip(alive, other) if left != right]
    return f"{len(alive)} and {len(other)} rows, {len(unequal)} differ: {unequal[:2]}"


@pytest.mark.fills_holes
@pytest.mark.guests("k61", "k510pc5g", "k7la57pti")
def test_every_form_gives_the_same(vitrine, guest, tmp_path, record_property):
    forms = {"raw", "ELF"} if guest.config.backend == "anon" else {"raw", "ELF", "RAM file"}
    check_forms(vitrine, guest, tmp_path, record_property, forms)


def test_every_form_gives_the_same_of_a_guest_in_a_file(vitrine, boot, tmp_path, record_property):
    check_forms(vitrine, boot(kernel="k7", backend="file-shared"), tmp_path, record_property, {"raw", "ELF", "RAM file"})
