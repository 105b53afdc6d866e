"""Modules against /proc/modules; what the kernel is against what it says of itself."""

import pytest
from truth_compare import Comparison, of_guest, of_image

# Documentation/admin-guide/tainted-kernels.rst
TAINT_BITS = {"P": 0, "F": 1, "C": 10, "O": 12, "E": 13, "K": 15, "X": 16, "T": 17, "N": 18}
DEFAULT_TEXT = 0xFFFFFFFF81000000
GNU_BUILD_ID = 3
GIB4 = 1 << 32
FIRMWARE = 0xFF000000
VGA_WINDOW = (0xA0000, 0xC0000)  # left out where no monitor says whether it is RAM

EXPLANATIONS = {
    # The disk that the truth is written to is open at that moment.
    "the truth disk was open": lambda difference, _: (difference.key, difference.field) == ("virtio_blk", "references")
                                                     and difference.found == difference.expected - 1,
}


def expected_module(module) -> dict:
    return {"name": module.name, "size": module.size, "used_by": ",".join(module.used_by) or "-", "status": module.state,
            "address": module.address, "references": module.references,
            "taints": sum(1 << TAINT_BITS[letter] for letter in module.taints)}


def check_modules(vitrine, subject, record_property):
    found = vitrine.rows("table", "kernel_modules", subject.target)
    expected = [expected_module(module) for module in subject.truth.modules.values()]
    assert [row["name"] for row in found] == [row["name"] for row in expected]
    comparison = Comparison(subject, EXPLANATIONS)
    for wanted, row in zip(expected, found):
        row = {**row, "address": int(row["address"], 16), "taints": int(row["taints"], 16)}
        for field, value in wanted.items():
            comparison.equal(row["name"], field, value, row[field])
    comparison.finish(record_property, at_least=7 * 12)


def build_id(notes: bytes) -> str:
    """From /sys/kernel/notes."""
    at = 0
    while at + 12 <= len(notes):
        name_size, size, kind = (int.from_bytes(notes[at + 4 * i:at + 4 * i + 4], "little") for i in range(3))
        name = at + 12
        data = name + (name_size + 3 & ~3)
        if kind == GNU_BUILD_ID and notes[name:name + name_size] == b"GNU\0":
            return notes[data:data + size].hex()
        at = data + (size + 3 & ~3)
    return ""


def resources(truth, name: str) -> list:
    """(first, last + 1) of each such line of /proc/iomem."""
    lines = (line.strip().split(" : ") for line in truth.text("/proc/iomem").splitlines())
    spans = [words[0].split("-") for words in lines if words[1] == name]
    return [(int(first, 16), int(last, 16) + 1) for first, last in spans]


def check_kernel(vitrine, subject):
    truth, kernel = subject.truth, vitrine.rows("info", subject.target)[0]["kernel"]
    text = truth.symbol("_text")
    code = resources(truth, "Kernel code")
    flags = truth.text("/proc/cpuinfo").split("flags", 1)[1].split("\n", 1)[0].split()
    found = {**kernel, **{name: int(kernel[name], 16) for name in ("text_va", "text_pa", "kaslr_slide", "root")}}
    expected = {
        "release": truth.release, "banner": truth.version, "build_id": build_id(truth["/sys/kernel/notes"]),
        "text_va": text, "kaslr_slide": text - DEFAULT_TEXT, "text_pa": code[0][0],
        "root": truth.symbol("init_top_pgt") - text + code[0][0],
        "paging": "5-level" if "la57" in flags else "4-level", "page_table_isolation": "pti" in flags,
    }
    wrong = {name: (value, found[name]) for name, value in expected.items() if found[name] != value}
    assert not wrong, f"{subject}: (the guest says, found): {wrong}"
    if "nokaslr" in truth.text("/proc/cmdline").split():
        assert found["kaslr_slide"] == 0


def merged(spans: list) -> list:
    """Those that touch as one."""
    joined = []
    for first, last in sorted(spans):
        if joined and joined[-1][1] >= first:
            joined[-1] = (joined[-1][0], max(last, joined[-1][1]))
        else:
            joined.append((first, last))
    return joined


def check_memory(vitrine, subject):
    rows = vitrine.rows("table", "guest_memory_map", subject.target)
    spans = [(int(row["start"], 16), int(row["end"], 16)) for row in rows]
    if spans[0] == (0, VGA_WINDOW[0]):
        spans.append(VGA_WINDOW)
    # QEMU's ELF core holds the firmware's ROM too, right below 4 GiB.
    extents = merged([span for span in spans if not (span[0] >= FIRMWARE and span[1] == GIB4)])
    assert extents == list(subject.ram)
    counted = resources(subject.truth, "System RAM")
    outside = [span for span in counted if not any(first <= span[0] and span[1] <= last for first, last in extents)]
    assert counted and not outside, f"{subject}: RAM of the guest that is not in {extents}: {outside}"


CHECKS = {"kernel": check_kernel, "memory": check_memory}


@pytest.mark.parametrize("form", ["raw", "elf"])
def test_modules_of_an_image(vitrine, images, form, record_property):
    check_modules(vitrine, of_image(images, form), record_property)


def test_modules_of_a_running_guest(vitrine, guest, record_property):
    check_modules(vitrine, of_guest(guest), record_property)


@pytest.mark.parametrize("what", CHECKS)
@pytest.mark.parametrize("form", ["raw", "elf"])
def test_machine_of_an_image(vitrine, images, form, what):
    CHECKS[what](vitrine, of_image(images, form))


@pytest.mark.parametrize("what", CHECKS)
def test_machine_of_a_running_guest(vitrine, guest, what):
    CHECKS[what](vitrine, of_guest(guest))
