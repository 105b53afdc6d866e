"""The Python package of the build tree, for tests of it: `from python_package import imported, opened`, and their fixtures are there."""

import os
import pathlib
import subprocess
import sys

import pytest
from conftest import PROJECT

PACKAGE = pathlib.Path(os.environ.get("VITRINE_PYTHONPATH", PROJECT / "build/frontends/python"))
RUNAWAY = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM c) SELECT count(*) FROM c"


@pytest.fixture(scope="session", name="package")
def imported():
    """The module, of the build tree."""
    if not list(PACKAGE.glob("vitrine/_native*.so")):
        if subprocess.run(["dpkg", "-s", "pybind11-dev", "python3-dev"], capture_output=True, check=False).returncode == 0:
            pytest.fail(f"{PACKAGE} is not built: make", pytrace=False)
        pytest.skip("the Python package is not built: pybind11-dev or python3-dev is missing")
    sys.path.insert(0, str(PACKAGE))
    import vitrine  # pylint: disable=import-outside-toplevel
    return vitrine


@pytest.fixture(name="image")
def opened(package, images, vitrine):
    with package.open(str(images.raw), cache_dir=vitrine.cache) as guest:
        yield guest


def run_program(text, vitrine, *arguments, **environment):
    """One run of a Python program that can import the package."""
    return subprocess.run(["/usr/bin/python3", "-B", "-X", "dev", "-c", text, *map(str, arguments)], capture_output=True, check=False, timeout=60,
                          env=vitrine.environment(PYTHONPATH=str(PACKAGE), **environment))
