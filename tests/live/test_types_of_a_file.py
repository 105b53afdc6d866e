"""--symbols with real kernels: the guest's types as debug information of an object file, made from its BTF with pahole and gcc, lead to the
same answers as the guest's own."""

import subprocess

import pytest

# Enumerations that nothing refers to by type: pahole leaves them out, the kernel's own debug information has them.
LEFT_OUT = ("mod_mem_type",)
TABLES = ("processes", "process_threads", "kernel_modules")


def definitions(btf) -> str:
    """All types as C."""
    def pahole(*options) -> str:
        # It complains of kinds newer than itself (type tags), which do not change a layout.
        return subprocess.run(["pahole", "-F", "btf", *options, str(btf)], capture_output=True, text=True, check=False, timeout=60).stdout

    text = pahole("--compile")
    for name in LEFT_OUT:
        if f"enum {name} {{" not in text:
            text += pahole("-C", name)
    return text


def object_file(truth, folder):
    """The file with debug information."""
    btf, source, result = folder / "btf", folder / "types.c", folder / "types.o"
    btf.write_bytes(truth.btf)
    source.write_text(definitions(btf), encoding="utf-8")
    subprocess.run(["gcc", "-w", "-g", "-fno-eliminate-unused-debug-types", "-c", str(source), "-o", str(result)], check=True, timeout=120)
    return result


@pytest.mark.guests("k510", "k61", "k612", "k7")
def test_debug_information_of_the_kernel(vitrine, images, tmp_path):
    file = object_file(images.truth, tmp_path)
    for table in TABLES:
        own = vitrine.rows("table", table, images.raw, "--no-cache")
        given = vitrine.rows("table", table, images.raw, "--symbols", file)
        assert given == own and len(own) > 5, table
    kernel = vitrine.info(images.raw, "--symbols", file)["kernel"]
    assert kernel["types_from"].startswith(f"DWARF of {file}: "), kernel["types_from"]
    assert not [check for check in kernel["checks"] if check.startswith("NOT PASSED")]
