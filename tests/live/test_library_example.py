"""The example program, built against the installed library, looks into a real guest."""

import os
import pathlib
import subprocess

import pytest

EXAMPLE = pathlib.Path(__file__).resolve().parents[2] / "build/install-test/example/list_processes"


@pytest.mark.guests("k61")
def test_example_lists_every_process(guest, target, tmp_path):
    if not EXAMPLE.is_file():
        pytest.skip("the example is built by: tools/test install")
    done = subprocess.run([str(EXAMPLE), target], capture_output=True, check=False, timeout=60,
                          env={**os.environ, "XDG_CACHE_HOME": str(tmp_path)})
    assert done.returncode == 0, done.stderr.decode("utf-8", "replace")
    first, *lines = done.stdout.decode("utf-8", "replace").splitlines()
    assert first == f"Linux {guest.truth.release}"
    assert {int(line.split()[0]) for line in lines} >= set(guest.truth.processes)
