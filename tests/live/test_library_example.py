"""The example programs, built against the installed library, look into a real guest and into images."""

import os
import pathlib
import subprocess

import pytest

EXAMPLES = pathlib.Path(__file__).resolve().parents[2] / "build/install-test/example"


def run_example(name: str, target, cache) -> list:
    """The lines that it prints."""
    program = EXAMPLES / name
    if not program.is_file():
        pytest.skip("the examples are built by: tools/test install")
    done = subprocess.run([str(program), str(target)], capture_output=True, check=False, timeout=60,
                          env={**os.environ, "XDG_CACHE_HOME": str(cache)})
    assert done.returncode == 0, done.stderr.decode("utf-8", "replace")
    return done.stdout.decode("utf-8", "replace").splitlines()


@pytest.mark.guests("k61")
def test_example_lists_every_process(guest, target, tmp_path):
    first, *lines = run_example("list_processes", target, tmp_path)
    assert first == f"Linux {guest.truth.release}"
    assert {int(line.split()[0]) for line in lines} >= set(guest.truth.processes)


@pytest.mark.guests("k510", "k61", "k7")
def test_example_says_what_the_program_says(vitrine, images, tmp_path):
    *lines, task, comparison = run_example("ask_and_walk", images.raw, tmp_path)
    rows = vitrine.rows("sql", str(images.raw), "SELECT pid, name, uid FROM processes ORDER BY pid")
    assert len(rows) > 40
    found = [line.split("\t") for line in lines]
    assert [(int(pid), int(uid)) for pid, uid, _ in found] == [(row["pid"], row["uid"]) for row in rows]
    # Names with control characters are shown as a terminal may have them.
    plain = [(name, row["name"]) for (_, _, name), row in zip(found, rows) if row["name"].isprintable()]
    assert len(plain) > 40
    assert all(shown == name for shown, name in plain)
    assert task == "task 1 is a child of swapper/0"
    assert comparison == f"{len(rows)} processes in SQL, {len(rows)} on the list: the same"
