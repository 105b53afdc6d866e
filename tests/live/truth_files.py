"""What /proc said of open files, mounts and namespaces, in the columns of the tables about them."""

import re

from truth_compare import Comparison, Explanation, shown

DELETED = b" (deleted)"
# include/uapi/asm-generic/fcntl.h, in the order the program names them; what consists of others comes first.
OPEN_FLAGS = ((0o100, "O_CREAT"), (0o200, "O_EXCL"), (0o400, "O_NOCTTY"), (0o1000, "O_TRUNC"), (0o2000, "O_APPEND"),
              (0o4000, "O_NONBLOCK"), (0o4010000, "O_SYNC"), (0o10000, "O_DSYNC"), (0o20000, "O_ASYNC"), (0o40000, "O_DIRECT"),
              (0o100000, "O_LARGEFILE"), (0o20200000, "O_TMPFILE"), (0o200000, "O_DIRECTORY"), (0o400000, "O_NOFOLLOW"),
              (0o1000000, "O_NOATIME"), (0o2000000, "O_CLOEXEC"), (0o10000000, "O_PATH"))
CLOEXEC = 0o2000000
KINDS = ("cgroup", "ipc", "mnt", "net", "pid", "user", "uts", "time")


def flags_text(flags: int) -> str:
    """fdinfo's flags as the names of open(2)."""
    names = [("O_RDONLY", "O_WRONLY", "O_RDWR", "O_ACCMODE")[flags & 3]]
    rest = flags & ~3
    for bits, name in OPEN_FLAGS:
        if rest & bits == bits:
            names.append(name)
            rest &= ~bits
    assert rest == 0, oct(flags)
    return "|".join(names)


def file_kind(link: bytes):
    """What a link's text alone tells of the kind of a file, or None."""
    for start, kind in ((b"anon_inode:", "anon_inode"), (b"socket:[", "socket"), (b"pipe:[", "fifo")):
        if link.startswith(start):
            return kind
    return "chr" if link.startswith((b"/dev/null", b"/dev/zero", b"/dev/console", b"/dev/pts/")) else None


def expected_file(process, number: int, link: bytes) -> dict:
    """The row of the table `process_open_files`, as far as /proc has it."""
    row = {"pid": process.pid, "fd": number, "path": shown(link), "deleted": int(link.endswith(DELETED))}
    if kind := file_kind(link):
        row["type"] = kind
    if match := re.fullmatch(rb"(?:pipe|socket):\[(\d+)\]", link):
        row["inode"] = int(match[1])
    info = process.fdinfo(number)
    if info:
        flags = int(info["flags"], 8)
        row.update(pos=int(info["pos"]), flags=flags_text(flags), mount_id=int(info["mnt_id"]), close_on_exec=int(bool(flags & CLOEXEC)))
        if "ino" in info:  # 5.14 and later
            row["inode"] = int(info["ino"])
    return row


def expected_files(truth) -> dict:
    """(pid, fd) to row."""
    return {(process.pid, number): expected_file(process, number, link)
            for process in truth.processes.values() for number, link in process.fds.items()}


def access_of(process, number: int) -> str:
    """r, w or rw."""
    return ("r", "w", "rw")[int(process.fdinfo(number)["flags"], 8) & 3]


def expected_pipes(truth) -> dict:
    """(pid, fd, partner's pid, partner's fd) to row."""
    by_pipe = {}
    for process in truth.processes.values():
        for number, link in process.fds.items():
            if (match := re.fullmatch(rb"pipe:\[(\d+)\]", link)) or link == b"/tmp/fifo":
                by_pipe.setdefault(link, []).append((process.pid, number, access_of(process, number), int(match[1]) if match else None))
    found = {}
    for link, ends in by_pipe.items():
        for pid, number, mode, inode in ends:
            row = {"mode": mode, "type": "anonymous" if link.startswith(b"pipe:") else "named"}
            if inode:
                row["inode"] = inode
            partners = [end for end in ends if end[:2] != (pid, number) and
                        (("r" in mode and "w" in end[2]) or ("w" in mode and "r" in end[2]))]
            for partner in partners:
                found[(pid, number, *partner[:2])] = {**row, "partner_mode": partner[2]}
            if not partners:
                found[(pid, number, None, None)] = {**row, "partner_mode": None}
    return found


def unescaped(field: bytes) -> str:
    """A field of mountinfo without its octal escapes."""
    return shown(re.sub(rb"\\([0-7]{3})", lambda match: bytes([int(match[1], 8)]), field))


def limits_of(options: list) -> dict:
    """blocks and inodes, where the options of a tmpfs tell them."""
    row = {}
    for option in options:
        if match := re.fullmatch(r"size=(\d+)k", option):
            row["blocks"] = int(match[1]) // 4
        if match := re.fullmatch(r"nr_inodes=(\d+)", option):
            row["inodes"] = int(match[1])
    return row


GENERIC_SUPER = ("rw", "ro", "sync", "dirsync", "mand", "lazytime")


def expected_mount(line: bytes) -> dict:
    """The row of the table `mounts` for one line of mountinfo."""
    before, _, after = line.partition(b" - ")
    number, parent, device_number, root, path, options, *tags = before.split(b" ")
    fs_type, device, super_options = after.split(b" ", 2)
    words = super_options.decode().split(",")
    generic = [word for word in words if word in GENERIC_SUPER]
    row = {"mount_id": int(number), "parent_id": int(parent), "device_number": device_number.decode(), "root": unescaped(root),
           "path": unescaped(path), "options": options.decode(), "propagation": " ".join(map(bytes.decode, tags)) or "private",
           "type": fs_type.decode(), "device": unescaped(device), "device_alias": unescaped(device),
           "super_options": ",".join(generic), "flags": ",".join([generic[0], *generic[1:], *options.decode().split(",")[1:]])}
    return {**row, **limits_of(words)}


def expected_mounts(truth) -> dict:
    """(mount namespace, mount id) to row, from every process whose root is that of its namespace."""
    found = {}
    for process in truth.processes.values():
        text, number = process.read("mountinfo"), process.namespaces.get("mnt")
        if not text or number is None or process.root != b"/":
            continue
        for line in text.splitlines():
            row = expected_mount(line)
            found.setdefault((number, row["mount_id"]), row)
    return found


def expected_namespaces(process) -> dict:
    """The row of the table `process_namespaces`."""
    inodes = process.namespaces
    row = {f"{kind}_namespace": inodes.get(kind) for kind in KINDS}
    row.update({f"{kind}_for_children_namespace": inodes.get(f"{kind}_for_children") for kind in ("pid", "time")})
    return row


def compare(comparison: Comparison, expected: dict, found: dict) -> None:
    """Both sides by key. What is explained is explained by the key and both rows."""
    for key in sorted(expected.keys() | found.keys(), key=str):
        context = (key, expected.get(key), found.get(key))
        if key not in expected or key not in found:
            comparison.only_one(key, "presence", expected.get(key), found.get(key), context)
            continue
        for field, value in expected[key].items():
            comparison.equal(key, field, value, found[key].get(field), context)


def of_collector(truth) -> dict:
    """It opened /proc, folder after folder, while it wrote, and its own disk; all closed but the standard ones afterwards."""
    return {"files of the process that wrote the truth": Explanation(
        lambda difference, context: context[0][0] == truth.collector and difference.field == "presence" and context[2] is None, 4)}
