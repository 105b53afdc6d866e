"""A Debian 12 with nothing but what every Debian has, to install packages in: unpacked from an archive that is made once."""

import os
import pathlib
import shutil
import urllib.error
import urllib.request

from .stages import BUILD, Stage

SUITE, MIRROR = "bookworm", "http://deb.debian.org/debian"
# Beside the test guests' kernels: what is downloaded stays.
CACHE = pathlib.Path(os.environ.get("VITRINE_GUESTS_DIR") or BUILD / "guests") / "debian"
ARCHIVES = "var/cache/apt/archives"
APT_OPTIONS = ("-q", "-y", "--no-install-recommends", "-o", "Dpkg::Use-Pty=0", "-o", "Dpkg::Options::=--force-unsafe-io",
               "-o", "APT::Sandbox::User=root", "-o", "Acquire::Retries=3", "-o", "APT::Keep-Downloaded-Packages=true")


class NotAvailable(Exception):
    """Cannot be had on this machine; the text says why."""


def mirror_trouble() -> str:
    """Why nothing can be downloaded, or ''."""
    try:
        with urllib.request.urlopen(f"{MIRROR}/dists/{SUITE}/InRelease", timeout=20):
            return ""
    except (urllib.error.URLError, OSError) as error:
        return f"{MIRROR}: {error}"


def _make_base(stage: Stage, base: pathlib.Path) -> None:
    folder = base.parent / "making"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    root, archive = folder / "root", folder / "base.tar.zst"
    try:
        if stage.run("debootstrap", "--variant=minbase", SUITE, root, MIRROR, timeout=600) != 0:
            trouble = mirror_trouble()
            if trouble:
                raise NotAvailable(trouble)
            raise RuntimeError("debootstrap failed")
        (root / "etc/resolv.conf").unlink(missing_ok=True)
        for package in (root / ARCHIVES).glob("*.deb"):
            package.unlink()
        if stage.run("tar", "--zstd", "-C", root, "-cf", archive, ".") != 0:
            raise RuntimeError("tar failed")
        archive.replace(base)
    finally:
        _remove(stage, folder)


def _remove(stage: Stage, folder: pathlib.Path) -> None:
    """What debootstrap mounts stays mounted when it is killed."""
    for mounted in ("root/proc", "root/sys"):
        if os.path.ismount(folder / mounted):
            stage.run("umount", folder / mounted)
    if not any(os.path.ismount(folder / mounted) for mounted in ("root/proc", "root/sys")):
        shutil.rmtree(folder, ignore_errors=True)


class CleanDebian:
    """The unpacked system. Commands in it see nothing of this one."""

    def __init__(self, stage: Stage, root: pathlib.Path):
        self.stage, self.root = stage, root

    def unpack(self) -> None:
        """NotAvailable: it takes root, debootstrap, and the first time a mirror."""
        if os.geteuid() != 0:
            raise NotAvailable("only root can install packages")
        if shutil.which("debootstrap") is None:
            raise NotAvailable("debootstrap is not installed")
        base = CACHE / f"{SUITE}-base.tar.zst"
        if not base.is_file():
            _make_base(self.stage, base)
        shutil.rmtree(self.root, ignore_errors=True)
        self.root.mkdir(parents=True)
        if self.stage.run("tar", "-C", self.root, "-xf", base) != 0:
            base.unlink()
            raise RuntimeError(f"{base} cannot be unpacked, and was removed")
        for name in ("resolv.conf", "hosts"):
            if pathlib.Path("/etc", name).exists():
                shutil.copy(f"/etc/{name}", self.root / "etc" / name)

    def command(self, *words) -> list:
        """The command that runs `words` inside."""
        return ["chroot", self.root, "/usr/bin/env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8", "HOME=/root",
                "XDG_CACHE_HOME=/tmp/cache", "DEBIAN_FRONTEND=noninteractive", *words]

    def install(self, *packages) -> None:
        """Names, or paths inside. What was downloaded before is not downloaded again."""
        kept = CACHE / "archives"
        kept.mkdir(parents=True, exist_ok=True)
        inside = self.root / ARCHIVES
        for package in kept.glob("*.deb"):
            shutil.copy(package, inside)
        install = self.command("apt-get", "install", *APT_OPTIONS, *packages)
        if self.stage.run(*install) != 0:
            # The lists of packages may be of an older state of the mirror.
            self.stage.run(*self.command("apt-get", "update", *APT_OPTIONS[:1]))
            if self.stage.run(*install) != 0:
                trouble = mirror_trouble()
                if trouble:
                    raise NotAvailable(trouble)
                raise RuntimeError(f"apt-get could not install {' '.join(map(str, packages))}")
        for package in inside.glob("*.deb"):
            if not (kept / package.name).exists():
                shutil.copy(package, kept)
            package.unlink()

    def remove(self) -> None:
        """All of it."""
        shutil.rmtree(self.root, ignore_errors=True)
