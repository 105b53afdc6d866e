"""Packages of any Debian suite, through an apt state of our own.

The mirror and the keys are the machine's; the sources list, the indices, the
package cache and the status file are private, so the machine's own apt neither
sees nor keeps anything of this.
"""

import dataclasses
import functools
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import time

from .paths import cache_dir, say

APT_DIR = pathlib.Path("/etc/apt")
DEBIAN_KEYRING = pathlib.Path("/usr/share/keyrings/debian-archive-keyring.gpg")
INDEX_MAX_AGE_S = 24 * 3600


class AptError(Exception):
    """Something apt could not do; the text is one line for a person."""


@dataclasses.dataclass(frozen=True)
class Source:
    """One archive of the machine's set-up, one suite."""

    uri: str
    suite: str
    components: tuple
    options: tuple  # (name, value) pairs, as in a one-line entry


def parse_deb822(text: str) -> list:
    """The enabled `deb` entries of a *.sources file."""
    sources = []
    for paragraph in re.split(r"\n\s*\n", text):
        fields, last = {}, None
        for line in paragraph.splitlines():
            if line.startswith("#") or not line.strip():
                continue
            if line[0] in " \t" and last:
                fields[last] += "\n" + line.strip()
                continue
            name, _, value = line.partition(":")
            last = name.strip().lower()
            fields[last] = value.strip()
        if fields.get("enabled", "yes").lower() in ("no", "false", "0"):
            continue
        if "deb" not in fields.get("types", "").split():
            continue
        options = tuple((name, fields[name]) for name in ("signed-by", "trusted", "check-valid-until")
                        if fields.get(name) and "\n" not in fields[name])
        for uri in fields.get("uris", "").split():
            for suite in fields.get("suites", "").split():
                sources.append(Source(uri, suite, tuple(fields.get("components", "").split()), options))
    return sources


def parse_one_line(text: str) -> list:
    """The `deb` entries of a sources.list file."""
    sources = []
    for line in text.splitlines():
        match = re.match(r"\s*deb\s+(?:\[([^\]]*)\]\s*)?(\S+)\s+(\S+)\s*([^#]*)", line)
        if not match:
            continue
        options = tuple(tuple(word.split("=", 1)) for word in (match[1] or "").split()
                        if word.split("=", 1)[0] in ("signed-by", "trusted", "check-valid-until"))
        sources.append(Source(match[2], match[3], tuple(match[4].split()), options))
    return sources


@functools.lru_cache(maxsize=1)
def machine_sources() -> tuple:
    """All entries of the machine's apt set-up."""
    files = [APT_DIR / "sources.list", *sorted((APT_DIR / "sources.list.d").glob("*"))]
    found = []
    for path in files:
        if path.suffix not in (".list", ".sources") or not path.is_file():
            continue
        text = path.read_text(encoding="utf-8", errors="replace")
        found += parse_deb822(text) if path.suffix == ".sources" else parse_one_line(text)
    return tuple(found)


def os_codename() -> str:
    """The machine's Debian release, e.g. bookworm."""
    text = pathlib.Path("/etc/os-release").read_text(encoding="utf-8")
    fields = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    codename = fields.get("VERSION_CODENAME", "").strip('"')
    if fields.get("ID", "").strip('"') != "debian" or not codename:
        raise AptError("this machine is not Debian: its mirrors have no Debian kernels")
    return codename


def source_for(suite: str) -> Source:
    """Where `suite` lies: *-security has an archive of its own, all others share one."""
    codename = os_codename()
    security = suite.endswith("-security")
    wanted = {f"{codename}-security", "stable-security"} if security else {codename, "stable"}
    for source in machine_sources():
        if source.suite in wanted and "main" in source.components:
            return dataclasses.replace(source, suite=suite, components=("main",))
    kind = "security archive" if security else "Debian mirror"
    raise AptError(f"apt's set-up on this machine names no {kind} for {codename}")


def one_line(source: Source) -> str:
    """A sources.list entry; keys of one release do not vouch for the others, so
    where there is the keyring of all of them that one is used."""
    options = dict(source.options)
    if "signed-by" in options and DEBIAN_KEYRING.is_file():
        options["signed-by"] = str(DEBIAN_KEYRING)
    options["arch"] = "amd64"
    words = " ".join(f"{name}={value}" for name, value in sorted(options.items()))
    return f"deb [{words}] {source.uri} {source.suite} {' '.join(source.components)}\n"


class PrivateApt:
    """apt with a state of its own below the cache of guests."""

    def __init__(self, suites: list, status: bytes = b"", label: str = ""):
        self.suites = suites
        self.root = cache_dir() / "apt" / (label or "+".join(suites))
        entries = "".join(one_line(source_for(suite)) for suite in suites)
        for folder in ("state/lists/partial", "cache/archives/partial", "etc"):
            (self.root / folder).mkdir(parents=True, exist_ok=True)
        (self.root / "etc/sources.list").write_text(entries, encoding="utf-8")
        (self.root / "status").write_bytes(status)
        self._write_config()

    def _write_config(self) -> None:
        # The hooks cleared here would refresh the machine's own caches.
        (self.root / "etc/apt.conf").write_text(f'''
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
#clear DPkg::Post-Invoke;
#clear DPkg::Pre-Install-Pkgs;
Dir::Etc::sourcelist "{self.root}/etc/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::State "{self.root}/state";
Dir::State::lists "{self.root}/state/lists";
Dir::State::status "{self.root}/status";
Dir::State::extended_states "{self.root}/state/extended_states";
Dir::Cache "{self.root}/cache";
Dir::Cache::archives "{self.root}/cache/archives";
Dir::Cache::pkgcache "{self.root}/cache/pkgcache.bin";
Dir::Cache::srcpkgcache "";
Dir::Log "{self.root}/log";
APT::Architecture "amd64";
APT::Architectures {{ "amd64"; }};
APT::Sandbox::User "";
APT::Get::AllowUnauthenticated "false";
Acquire::Languages "none";
Acquire::IndexTargets::deb::Contents-deb::DefaultEnabled "false";
Acquire::Retries "2";
''', encoding="utf-8")

    def run(self, *words: str, cwd=None, quiet: bool = True) -> str:
        """Runs an apt program on the private state and returns what it printed."""
        program, *arguments = words
        command = [program, "-c", str(self.root / "etc/apt.conf"), *arguments]
        done = subprocess.run(command, cwd=cwd, text=True, check=False, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE if quiet else None,
                              env={**os.environ, "LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive"})
        if done.returncode != 0:
            lines = [line for line in (done.stderr or "").splitlines() if line.startswith("E:")]
            reason = lines[0][2:].strip() if lines else f"exit status {done.returncode}"
            raise AptError(f"{program} {shlex.join(arguments[:2])}: {reason}")
        return done.stdout

    def update(self, force: bool = False) -> None:
        """Brings the package index here unless a recent one is."""
        stamp = self.root / "updated"
        sources = (self.root / "etc/sources.list").read_text(encoding="utf-8")
        if not force and stamp.is_file() and time.time() - stamp.stat().st_mtime < INDEX_MAX_AGE_S \
                and stamp.read_text(encoding="utf-8") == sources:
            return
        say(f"reading the package index of {', '.join(self.suites)}")
        self.run("apt-get", "update", "-q", "-o", "APT::Update::Error-Mode=any")
        stamp.write_text(sources, encoding="utf-8")

    def newest(self, pattern: str):
        """(package, version, bytes) of the newest package whose name matches, or None."""
        text = self.run("apt-cache", "search", "--names-only", f"^{pattern}$")
        names = [line.split()[0] for line in text.splitlines() if line.strip()]
        best = None
        for name in sorted(names):
            for paragraph in self.run("apt-cache", "show", name).split("\n\n"):
                fields = dict(re.findall(r"^([A-Za-z-]+): (.*)$", paragraph, re.MULTILINE))
                if fields.get("Package") != name or "Version" not in fields:
                    continue
                candidate = (name, fields["Version"], int(fields.get("Size", 0)))
                if best is None or version_newer(candidate[1], best[1]):
                    best = candidate
        return best

    def download(self, package: str, version: str, target: pathlib.Path) -> pathlib.Path:
        """One package file, its checksum verified by apt, in the folder `target`."""
        target.mkdir(parents=True, exist_ok=True)
        before = set(target.glob("*.deb"))
        self.run("apt-get", "download", "-q", f"{package}={version}", cwd=target)
        new = set(target.glob("*.deb")) - before
        if not new:
            raise AptError(f"apt-get download {package}: no file came")
        return new.pop()

    def discard(self) -> None:
        """Removes the private state."""
        shutil.rmtree(self.root, ignore_errors=True)


def version_newer(left: str, right: str) -> bool:
    """Debian's own ordering of versions."""
    return subprocess.run(["dpkg", "--compare-versions", left, "gt", right], check=False).returncode == 0
