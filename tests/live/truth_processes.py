"""What /proc said of each process and thread, in the columns of the tables `processes` and `process_threads`."""

from truth_compare import Comparison, Explanation, shown

DELETED = b" (deleted)"
TICK_MS = 10
TICK_NS = 10_000_000  # /proc/PID/stat counts in 1/100 s
PAGE = 4096
# What a thread sets in its own flags for a moment: PF_MEMALLOC, PF_MEMALLOC_NOFS, PF_MEMALLOC_NOIO, PF_LOCAL_THROTTLE, PF_MEMALLOC_PIN,
# PF_FREEZER_SKIP (until 6.0). All others stay what they are.
MOMENTARY_FLAGS = 0x800 | 0x40000 | 0x80000 | 0x100000 | 0x10000000 | 0x40000000

IDS = {"uid": ("Uid", 0), "euid": ("Uid", 1), "suid": ("Uid", 2), "gid": ("Gid", 0), "egid": ("Gid", 1), "sgid": ("Gid", 2)}


def is_worker(comm: bytes) -> bool:
    """A thread of the workqueues, whose name tells what it works on."""
    return comm.startswith(b"kworker/")


def expected_comm(task) -> str:
    """task_struct.comm: /proc appends the work of a worker, and shows long names of kernel threads whole."""
    comm = task.comm
    if task.kernel_thread and is_worker(comm):
        # kworker/u4:1-events_unbound, kworker/0:1H-kblockd, kworker/R-rcu_gp; rescuers have no work appended.
        base = comm if comm.startswith(b"kworker/R-") else comm.split(b"-")[0].split(b"+")[0]
        return shown(base[:15])
    return shown(comm[:15])


def path_of(link) -> tuple:
    """(path, on_disk) from the target of /proc/PID/exe."""
    if link is None:
        return None, None
    return (shown(link.removesuffix(DELETED)), 0) if link.endswith(DELETED) else (shown(link), 1)


def expected_cmdline(process):
    """Arguments joined with spaces, as ps and osquery show them; None without user memory."""
    if process.kernel_thread or process.state == "Z":
        return None
    return shown(process.cmdline.rstrip(b"\0").replace(b"\0", b" "))


def expected_control_group(process):
    """In the unified hierarchy: the line "0::/path" of /proc/PID/cgroup."""
    for line in (process.read("cgroup") or b"").split(b"\n"):
        if line.startswith(b"0::"):
            return shown(line[3:])
    return None


def expected_process(process) -> dict:
    """The row of the table `processes`, but for addresses and what needs more than /proc."""
    stat = process._stat  # pylint: disable=protected-access
    path, on_disk = path_of(process.exe)
    row = {
        "pid": process.pid, "name": shown(process.comm), "comm": expected_comm(process), "path": path, "on_disk": on_disk,
        "cmdline": expected_cmdline(process), "state": process.state,
        "cwd": shown(process.cwd) if process.cwd is not None else None,
        "root": shown(process.root) if process.root is not None else None,
        "parent": process.ppid, "pgroup": process.pgid, "session": process.sid, "threads": int(stat[17]), "nice": process.nice,
        "kernel_thread": int(process.kernel_thread), "namespace_pids": " ".join(map(str, process.nspids)),
        "total_size": int(stat[20]) or None, "resident_size": int(stat[21]) * PAGE if int(stat[20]) else None,
        "start_ns": process.start_ticks, "flags": process.flags,
        "user_time": int(stat[11]), "system_time": int(stat[12]), "cgroup_path": expected_control_group(process),
        "wired_size": int(process.status["VmLck"].split()[0]) * 1024 if "VmLck" in process.status else None,
    }
    row.update({column: process.ids(name)[index] for column, (name, index) in IDS.items()})
    return row


def expected_thread(task) -> dict:
    """The row of the table `process_threads`."""
    return {"pid": task.pid, "tid": task.tid, "name": shown(task.comm), "state": task.state, "nice": task.nice,
            "uid": task.ids("Uid")[0], "start_ns": task.start_ticks, "kernel_thread": int(task.kernel_thread)}


def found_row(row: dict) -> dict:
    """A row of the program with its numbers in the units of /proc."""
    changed = dict(row)
    if row.get("start_ns") is not None:
        changed["start_ns"] = row["start_ns"] // TICK_NS
    for name in ("user_time", "system_time"):
        if row.get(name) is not None:
            changed[name] = row[name] // TICK_MS
    if row.get("flags") is not None:
        changed["flags"] = int(row["flags"], 16)
    return changed


def compare_rows(comparison: Comparison, expected: dict, found: dict, tasks: dict) -> None:
    """Both sides by key; `tasks`: the guest's own tasks by key, for the explanations."""
    for key in sorted(expected.keys() | found.keys()):
        context = (tasks.get(key), expected.get(key), found.get(key))
        if key not in expected or key not in found:
            comparison.only_one(key, "presence", expected.get(key), found.get(key), context)
            continue
        for field, value in expected[key].items():
            comparison.equal(key, field, value, found[key].get(field), context)


def of_task(predicate):
    """A rule about the guest's own task."""
    return lambda difference, context: context[0] is not None and predicate(difference, context[0])


def ran_meanwhile(difference, asleep: str) -> bool:
    """Running at one moment and asleep at the other, or with a flag that is set for a moment only."""
    values = (difference.expected, difference.found)
    if difference.field == "state":
        return "R" in values and set(values) <= set("R" + asleep)
    return difference.field == "flags" and None not in values and not (values[0] ^ values[1]) & ~MOMENTARY_FLAGS


def same_size(difference) -> bool:
    """A process of some pages, which has some now."""
    return difference.field in ("resident_size", "total_size") and None not in (difference.expected, difference.found) \
        and difference.found > 0 and difference.found % PAGE == 0


def base_name(name: str) -> str:
    """A worker's own name."""
    return name.split("-")[0].split("+")[0]


def worker_row(context) -> bool:
    return any(row is not None and (row["name"] or "").startswith("kworker/") and row["kernel_thread"] == 1 for row in context[1:])


MOST_TICKS = 1000  # ten seconds

EXPLANATIONS = {
    # It ran when it wrote this; now it sleeps, and what it has mapped changed on the way.
    "the process that wrote the truth": Explanation(of_task(
        lambda difference, task: task.pid == task.truth.collector and (ran_meanwhile(difference, "S") or same_size(difference))), 4),
    # Those that ran after they had been written down: their time may only have grown. All others must have the same.
    "processor time goes on": Explanation(of_task(
        lambda difference, task: difference.field in ("user_time", "system_time") and None not in (difference.expected, difference.found)
        and 0 < difference.found - difference.expected <= MOST_TICKS
        and (task.kernel_thread or task.pid in (1, task.truth.collector))), 10),
    # It waited for that process, and went on.
    "process 1 goes on": Explanation(of_task(lambda difference, task: task.pid == 1 and ran_meanwhile(difference, "SD")), 2),
    # A worker's name is its own followed by the name of the last queue it worked for.
    "a worker has worked for another queue": Explanation(of_task(
        lambda difference, task: difference.field == "name" and is_worker(task.comm) and difference.found is not None
        and base_name(difference.found) == base_name(difference.expected)), 12),
    "workers come and go": Explanation(lambda difference, context: difference.field == "presence" and worker_row(context), 6),
    # Which kernel thread runs at a moment, and what it allows itself meanwhile, is chance.
    "a kernel thread runs or sleeps": Explanation(of_task(
        lambda difference, task: task.kernel_thread and ran_meanwhile(difference, "SID")), 4),
}
