"""What the live tests share: the program under test, and real guests.

    def test_names(vitrine, guest):                     # once for each guest of guests/matrix.toml
        rows = vitrine.rows("ps", f"qemu:{guest.pid}")
        assert {row["pid"] for row in rows} >= set(guest.truth.processes)

    @pytest.mark.guests("k61", "k612q5g")               # only these
    def test_large(vitrine, guest): ...

    def test_own(boot):                                 # a guest of one's own, ended with the test
        guest = boot(kernel="k61", backend="hugetlb")

A kernel that could not be downloaded skips its tests by name; a missing 6.1 fails them, and so does a machine that cannot run it.
"""

import collections
import contextlib
import json
import os
import pathlib
import subprocess
import sys

import pytest

PROJECT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(PROJECT / "guests"))

import vitrine_guests as guests  # noqa: E402  pylint: disable=wrong-import-position

PROGRAM = pathlib.Path(os.environ.get("VITRINE_PROGRAM", PROJECT / "build/vitrine"))
INDISPENSABLE = ("k61",)  # kernels without which nothing is proven
MAY_LACK = ("hugetlb",)  # backends that a machine may be unable to give
MOST_GUESTS = 2  # running at once, those of `boot` not counted
RUN_TIMEOUT_S = 60.0


def pytest_configure(config):
    config.addinivalue_line("markers", "guests(*ids): the guests of guests/matrix.toml the test is for (default: all)")
    config.addinivalue_line("markers", "fills_holes: leaves the guest without a hole in its RAM; runs after its other tests")
    config.addinivalue_line("markers", "nested: runs a KVM guest inside an emulated machine")


def pytest_generate_tests(metafunc):
    """Guests are parameters with the scope of the session, so that pytest puts the tests of one guest together."""
    wanted = [name for name in ("guest", "images") if name in metafunc.fixturenames]
    if not wanted:
        return
    known = list(guests.load_matrix())
    marker = metafunc.definition.get_closest_marker("guests")
    chosen = list(marker.args) if marker else known
    unknown = [name for name in chosen if name not in known]
    if unknown:
        raise pytest.UsageError(f"{metafunc.function.__name__}: no such guest in matrix.toml: {', '.join(unknown)}")
    if len(wanted) == 2:
        metafunc.parametrize(("guest", "images"), [(name, name) for name in chosen], indirect=True, scope="session",
                             ids=chosen)
    else:
        metafunc.parametrize(wanted[0], chosen, indirect=True, scope="session")


def guest_of(item):
    """The guest of the matrix that a test is for, or None."""
    parameters = item.callspec.params if hasattr(item, "callspec") else {}
    return parameters.get("guest", parameters.get("images"))


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items):
    """First what needs no guest of the matrix, then guest after guest: pytest puts together what has the same number in a list of
    parameters, whatever guest that is, and boots some of them twice."""
    known = [None, *guests.load_matrix()]
    # A dump of all memory fills the holes of shared memory: QEMU itself touches them.
    items.sort(key=lambda item: (known.index(guest_of(item)), item.get_closest_marker("fills_holes") is not None))


def kernel_or_skip(kernel: str) -> None:
    """Skips the test, by name, when the kernel cannot be had; without 6.1 it fails. Any other trouble is a failure as well."""
    try:
        guests.ensure(kernel)
    except guests.NotAvailable as error:
        if kernel in INDISPENSABLE:
            pytest.fail(f"kernel {kernel} is indispensable and not available: {error}", pytrace=False)
        pytest.skip(f"kernel {kernel} is not available: {error}")


def no_such_guest(config: guests.GuestConfig, error: guests.Unavailable) -> None:
    """Skips the test; fails it when the guest is one that every machine must be able to run."""
    if config.kernel in INDISPENSABLE and config.backend not in MAY_LACK:
        pytest.fail(f"a guest with the kernel {config.kernel} is indispensable and this machine has none: {error}", pytrace=False)
    pytest.skip(f"no such guest on this machine: {error}")


class Program:
    """Runs vitrine. Its cache is the session's own, never the user's."""

    def __init__(self, cache: pathlib.Path):
        self.path = PROGRAM
        self.cache = cache

    def environment(self, **changes) -> dict:
        """The environment the program runs in; a value of None removes a name."""
        full = {**os.environ, "XDG_CACHE_HOME": str(self.cache), "XDG_CONFIG_HOME": str(self.cache / "config"),
                "XDG_STATE_HOME": str(self.cache / "state"), "LC_ALL": "C.UTF-8", "COLUMNS": "120", **changes}
        return {name: value for name, value in full.items() if value is not None}

    def __call__(self, *arguments, timeout: float = RUN_TIMEOUT_S, env: dict | None = None, **options):
        """One run: a CompletedProcess whose output is bytes (guests name things as they like)."""
        return subprocess.run([str(self.path), *map(str, arguments)], capture_output=True, check=False, timeout=timeout,
                              stdin=subprocess.DEVNULL, env=self.environment(**(env or {})), **options)

    def ok(self, *arguments, **options) -> subprocess.CompletedProcess:
        """One run that must end well."""
        done = self(*arguments, **options)
        assert done.returncode == 0, f"vitrine {' '.join(map(str, arguments))}: exit status {done.returncode}\n" \
                                     f"{done.stderr.decode('utf-8', 'replace')[-2000:]}"
        return done

    def rows(self, *arguments, **options) -> list:
        """The rows of a table: `--format json` parsed."""
        return json.loads(self.ok(*arguments, "--format", "json", **options).stdout)

    def info(self, *arguments) -> dict:
        """What `info` says."""
        return the_object(self.rows("info", *arguments))


def the_object(answer) -> dict:
    """Of `info`: an object, or an array of one as with all other commands."""
    return answer[0] if isinstance(answer, list) else answer


class GuestPool:
    """Booted guests of the matrix, the least recently used ended first."""

    def __init__(self, limit: int):
        self._limit, self._booted = limit, collections.OrderedDict()

    def get(self, name: str) -> guests.Guest:
        """The guest, booted unless it runs; one that has ended is booted anew."""
        guest = self._booted.pop(name, None)
        if guest is not None and not guest.alive:
            guest.stop()
            guest = None
        if guest is None:
            while len(self._booted) >= self._limit:
                self._booted.popitem(last=False)[1].stop()
            guest = start(guests.load_matrix()[name])
        self._booted[name] = guest
        return guest

    def close(self) -> None:
        """Ends all."""
        for guest in self._booted.values():
            guest.stop()
        self._booted.clear()


def start(config: guests.GuestConfig) -> guests.Guest:
    """A ready guest; skips where this machine or the archive has not what it takes (see no_such_guest)."""
    kernel_or_skip(config.kernel)
    try:
        guest = guests.Guest.boot(config)
    except guests.Unavailable as error:
        no_such_guest(config, error)
    try:
        return guest.wait_ready()
    except BaseException:
        guest.stop()
        raise


@pytest.fixture(scope="session")
def vitrine(tmp_path_factory) -> Program:
    """The program under test."""
    if not os.access(PROGRAM, os.X_OK):
        pytest.fail(f"{PROGRAM} is not built: make", pytrace=False)
    return Program(tmp_path_factory.mktemp("cache"))


@pytest.fixture
def empty_cache(vitrine, tmp_path):
    """The same program with a cache of the test's own."""
    return Program(tmp_path / "cache") if vitrine else None


@pytest.fixture(scope="session")
def guest_pool():
    """Guests of the matrix by id, for tests that want several."""
    pool = GuestPool(MOST_GUESTS)
    yield pool
    pool.close()


@pytest.fixture(scope="session")
def guest(request, guest_pool) -> guests.Guest:
    """A running, ready guest of the matrix. Leave it as it was: other tests use it too."""
    return guest_pool.get(request.param)


@pytest.fixture(scope="session")
def images(request) -> guests.Images:
    """Raw image, ELF core and truth of one moment of a guest of the matrix."""
    config = guests.load_matrix()[request.param]
    kernel_or_skip(config.kernel)
    try:
        return guests.ensure_images(request.param, config)
    except guests.Unavailable as error:
        no_such_guest(config, error)


@pytest.fixture
def boot():
    """boot(kernel="k61", backend=...): a ready guest of the test's own, ended with it."""
    with contextlib.ExitStack() as stack:
        def boot_one(config: guests.GuestConfig | None = None, **changes) -> guests.Guest:
            config = config or guests.GuestConfig()
            if changes:
                config = guests.GuestConfig(**{**vars(config), **changes})
            guest = start(config)
            stack.callback(guest.stop)
            return guest
        yield boot_one


@pytest.fixture
def target(guest) -> str:
    """The guest as vitrine's TARGET."""
    return f"qemu:{guest.pid}"
