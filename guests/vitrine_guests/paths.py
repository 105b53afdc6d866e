"""Where things lie: the project, the cache of guests, and who may use it now."""

import contextlib
import fcntl
import os
import pathlib
import sys

GUESTS_DIR = pathlib.Path(__file__).resolve().parent.parent
PROJECT_DIR = GUESTS_DIR.parent
PROGRAMS_DIR = GUESTS_DIR / "programs"


def cache_dir() -> pathlib.Path:
    """The cache: $VITRINE_GUESTS_DIR, or build/guests below the project."""
    chosen = os.environ.get("VITRINE_GUESTS_DIR")
    path = pathlib.Path(chosen) if chosen else PROJECT_DIR / "build" / "guests"
    path = path.absolute()
    path.mkdir(parents=True, exist_ok=True)
    return path


def say(message: str) -> None:
    """Progress and complaints; data goes to stdout."""
    print(message, file=sys.stderr, flush=True)


@contextlib.contextmanager
def locked(name: str):
    """Serialises work on one part of the cache between processes."""
    path = cache_dir() / f".{name}.lock"
    with open(path, "w", encoding="utf-8") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def write_atomically(path: pathlib.Path, data: bytes) -> None:
    """A reader sees the old content or the new one, never a part."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_bytes(data)
    temporary.replace(path)
