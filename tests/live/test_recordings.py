"""A recording answers as what it was made of: images of each kernel, of five-level paging and of memory in block order, and guests that
run. What tables answer from recordings is tested on those in tests/data/recordings (tests/unit/fixtures)."""

import json
import os
import stat
import time

import pytest

MIB = 1 << 20
# Measured: 2.9 to 5.3 MiB for kernels of 5.10 to 7.x and all tables, nearly all of it symbol table and types.
MOST_OF_ALL, MOST_OF_FEW = 8 * MIB, 6 * MIB
MOST_SECONDS = 20
# How memory is read is not the guest's.
OWN_WORD = "access"


def tables(vitrine) -> list:
    return sorted({row["name"] for row in vitrine.rows("schema") if row["kind"] == "table"})


def record(vitrine, target, path, *options):
    """Makes it; the time that took."""
    begin = time.monotonic()
    vitrine.ok("record", target, "-o", path, *options, timeout=180)
    return time.monotonic() - begin


def answer(vitrine, table, target, *options):
    """Exit status and rows; rows of `guest_memory_map` without how they were read."""
    done = vitrine("table", table, target, "--format", "json", *options)
    rows = json.loads(done.stdout) if done.stdout else None
    return done.returncode, [{name: value for name, value in row.items() if name != OWN_WORD} for row in rows or []]


def compare(vitrine, target, recording, *options) -> dict:
    """Every table, whole. The number of rows of each."""
    sizes = {}
    for table in tables(vitrine):
        wanted, got = answer(vitrine, table, target), answer(vitrine, table, recording, *options)
        assert got[0] == wanted[0], f"{table}: exit status {got[0]}, not {wanted[0]}"
        different = [pair for pair in zip(wanted[1], got[1]) if pair[0] != pair[1]]
        assert got[1] == wanted[1], f"{table}: {len(wanted[1])} and {len(got[1])} rows, {len(different)} differ: {different[:2]}"
        sizes[table] = len(got[1])
    assert sizes["processes"] > 20 and sizes["symbols"] > 10_000 and sizes["types"] > 5_000
    return sizes


def check_recording(vitrine, images, target, path, record_property) -> None:
    took = record(vitrine, target, path)
    size = path.stat().st_size
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert size < MOST_OF_ALL
    assert took < MOST_SECONDS
    sizes = compare(vitrine, target, path, "--no-cache")
    # Without the registers: by its page tables.
    assert vitrine.rows("ps", path, "--no-registers", "--no-cache") == vitrine.rows("ps", target)
    info = vitrine.info(path)
    assert info["machine"]["kind"] == "recording"
    assert any(images.meta["release"] in note for note in info["machine"]["notes"])
    account = f"{images.meta['release']} {target.suffix}: {size / MIB:.2f} MiB, made in {took:.1f} s, {sizes}"
    record_property("recording", account)
    print(account)


@pytest.mark.guests("k510", "k61", "k612", "k7", "k7la57pti")
def test_recording_of_a_core(vitrine, images, tmp_path, record_property):
    check_recording(vitrine, images, images.elf, tmp_path / "it.rec", record_property)


@pytest.mark.guests("k61", "k510pc5g")
def test_recording_of_a_raw_image(vitrine, images, tmp_path, record_property):
    """Without registers; the larger one has memory above 4 GiB."""
    check_recording(vitrine, images, images.raw, tmp_path / "it.rec", record_property)


@pytest.mark.guests("k61")
def test_recording_with_the_cache_and_packed_small(vitrine, images, tmp_path):
    usual, small = tmp_path / "usual", tmp_path / "small"
    record(vitrine, images.elf, usual)
    record(vitrine, images.elf, small, "--small")
    assert small.stat().st_size < usual.stat().st_size
    compare(vitrine, images.elf, small)


@pytest.mark.guests("k61", "k7")
def test_recording_of_few_tables_is_smaller_and_says_what_it_lacks(vitrine, images, tmp_path):
    few, everything = tmp_path / "few", tmp_path / "all"
    record(vitrine, images.elf, few, "--", "vcpus")
    record(vitrine, images.elf, everything)
    assert few.stat().st_size < everything.stat().st_size
    assert few.stat().st_size < MOST_OF_FEW
    print(f"{few.stat().st_size / MIB:.2f} MiB of {everything.stat().st_size / MIB:.2f}")
    assert answer(vitrine, "vcpus", few) == answer(vitrine, "vcpus", images.elf)
    assert vitrine("table", "processes", few, "--strict", "--format", "json").returncode == 5
    whole = len(answer(vitrine, "processes", images.elf)[1])
    known = answer(vitrine, "processes", few, "--columns", "pid,cmdline")[1]
    assert len(known) == whole, "attaching reads the whole list"
    assert sum(row["cmdline"] is None for row in known) > sum(
        row["cmdline"] is None for row in answer(vitrine, "processes", images.elf, "--columns", "pid,cmdline")[1])


@pytest.mark.guests("k61")
def test_damaged_recordings_are_refused(vitrine, images, tmp_path):
    path = tmp_path / "it.rec"
    record(vitrine, images.elf, path, "--", "vcpus")
    good = path.read_bytes()
    for name, content in (("cut", good[:-1]), ("half", good[:len(good) // 2]), ("longer", good + b"\0"),
                          ("garbled", good[:200] + bytes([good[200] ^ 1]) + good[201:])):
        (tmp_path / name).write_bytes(content)
        done = vitrine("ps", tmp_path / name)
        text = done.stderr.decode()
        assert done.returncode == 3 and "damaged recording" in text, f"{name}: {text}"
        assert text.count("\n") == 2, f"{name}: one line and a hint: {text}"
    # A recording can be recorded, but not over itself.
    assert vitrine("record", path, "-o", path, "--force").returncode == 2
    assert path.read_bytes() == good
    record(vitrine, path, tmp_path / "again", "--", "vcpus")
    assert answer(vitrine, "vcpus", tmp_path / "again") == answer(vitrine, "vcpus", path)


@pytest.mark.guests("k61", "k7")
def test_recording_of_a_paused_guest(vitrine, guest, target, tmp_path, record_property):
    path = tmp_path / "it.rec"
    with guest.paused():
        record(vitrine, target, path)
        sizes = compare(vitrine, target, path, "--no-cache")
    record_property("compared", f"{guest.config.kernel}: {sizes}")


@pytest.mark.guests("k61")
def test_recording_of_a_running_guest(vitrine, guest, target, tmp_path):
    path = tmp_path / "it.rec"
    done = vitrine.ok("record", target, "-o", path, "--paused", timeout=180)
    assert b"the guest was paused for" in done.stderr
    assert b"may be incomplete" not in done.stderr, done.stderr
    print(done.stderr.decode())
    now = {(row["pid"], row["name"]) for row in vitrine.rows("ps", target)}
    recorded = {(row["pid"], row["name"]) for row in vitrine.rows("ps", path)}
    assert len(now & recorded) > 20
    assert vitrine("record", target, "-o", path).returncode == 2, "it exists"
    assert sorted(os.listdir(tmp_path)) == ["it.rec"]
