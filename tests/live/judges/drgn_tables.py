"""What drgn finds in a core, as JSON: run by drgn's own Python (vitrine_guests.drgn), not by the tests'.

  drgn_tables.py CORE VMLINUX VMCOREINFO OUT

drgn's helpers are used wherever it has one. Keys and values are those of Vitrine's tables, addresses as "0x...".
"""

import collections
import json
import socket
import sys

import drgn
from drgn.helpers.linux import fs, list as lists, mm, module, net, pid as pids, sched, tcp

PF_KTHREAD = 0x200000
S_IFMT, S_IFSOCK = 0o170000, 0o140000
MEMBERS_OF = ("task_struct", "mm_struct", "vm_area_struct", "file", "inode", "dentry", "super_block", "mount", "vfsmount", "nsproxy",
              "cred", "signal_struct", "files_struct", "fdtable", "fs_struct", "net", "sock", "inet_sock", "unix_sock", "socket",
              "module", "pid", "upid", "pid_namespace", "user_namespace", "kernfs_node", "pipe_inode_info", "page", "net_device")


def text(data: bytes) -> str:
    """As the program's JSON has it: each byte that is not UTF-8 becomes U+FFFD."""
    return "".join("\ufffd" if "\ud800" <= c <= "\udfff" else c for c in data.decode("utf-8", "surrogateescape"))


def address(pointer) -> str:
    return hex(pointer.value_())


def attempt(function, *arguments):
    """None where memory is not there: paged out, or never present."""
    try:
        return function(*arguments)
    except drgn.FaultError:
        return None


def uid(value) -> int:
    return value.val.value_()


def process(task) -> dict:
    cred, signal = task.real_cred, task.signal
    memory = task.mm.read_()
    row = {
        "pid": task.pid.value_(), "comm": text(task.comm.string_()), "state": sched.task_state_to_char(task),
        "uid": uid(cred.uid), "gid": uid(cred.gid), "euid": uid(cred.euid), "egid": uid(cred.egid), "suid": uid(cred.suid),
        "sgid": uid(cred.sgid), "parent": task.real_parent.tgid.value_(), "threads": signal.nr_threads.value_(),
        "nice": task.static_prio.value_() - 120, "kernel_thread": int(bool(task.flags.value_() & PF_KTHREAD)),
        "start_ns": task.start_boottime.value_(), "flags": hex(task.flags.value_()), "task": address(task),
        "mm": address(memory) if memory else None,
    }
    for column, kind in (("pgroup", "PIDTYPE_PGID"), ("session", "PIDTYPE_SID")):
        row[column] = signal.pids[prog.constant(kind)].numbers[0].nr.value_()
    row["path"] = None
    if memory:
        row["total_size"] = memory.total_vm.value_() * 4096
        row["wired_size"] = memory.locked_vm.value_() * 4096
        if memory.exe_file:
            row["path"] = text(fs.d_path(memory.exe_file.f_path.address_of_()))
    return row


def thread(task) -> dict:
    return {"tid": task.pid.value_(), "pid": task.tgid.value_(), "name": text(task.comm.string_()), "state": sched.task_state_to_char(task),
            "uid": uid(task.real_cred.uid), "nice": task.static_prio.value_() - 120, "start_ns": task.start_boottime.value_(),
            "kernel_thread": int(bool(task.flags.value_() & PF_KTHREAD)), "task": address(task)}


def modules():
    for one in module.for_each_module(prog):
        yield {"name": text(one.name.string_()), "address": address(one.core_layout.base), "module": address(one),
               "size": one.core_layout.size.value_() + one.init_layout.size.value_(), "references": one.refcnt.counter.value_() - 1,
               "taints": hex(one.taints.value_()),
               "status": {"LIVE": "Live", "COMING": "Loading", "GOING": "Unloading", "UNFORMED": "Unformed"}[
                   one.state.format_(type_name=False).removeprefix("MODULE_STATE_")]}


def namespaces(task) -> dict:
    proxy = task.nsproxy.read_()
    row = {"pid": task.pid.value_(), "nsproxy": address(proxy) if proxy else None,
           "user_namespace": task.real_cred.user_ns.ns.inum.value_()}
    for column, member in (("cgroup", "cgroup_ns"), ("ipc", "ipc_ns"), ("mnt", "mnt_ns"), ("net", "net_ns"), ("uts", "uts_ns"),
                           ("time", "time_ns"), ("pid_for_children", "pid_ns_for_children"),
                           ("time_for_children", "time_ns_for_children")):
        row[f"{column}_namespace"] = getattr(proxy, member).ns.inum.value_() if proxy else None
    number = task.thread_pid.read_()
    row["pid_namespace"] = number.numbers[number.level].ns.ns.inum.value_() if number else None
    return row


def device(super_block) -> str:
    number = super_block.s_dev.value_()
    return f"{number >> 20}:{number & 0xfffff}"


def mounts(tasks):
    spaces = {}
    for task in tasks:
        if task.nsproxy:
            spaces.setdefault(task.nsproxy.mnt_ns.value_(), task.nsproxy.mnt_ns)
    for space in spaces.values():
        for mount in fs.for_each_mount(space):
            yield {"mount_namespace": space.ns.inum.value_(), "mount_id": mount.mnt_id.value_(),
                   "parent_id": mount.mnt_parent.mnt_id.value_(), "device": text(fs.mount_src(mount)), "type": text(fs.mount_fstype(mount)),
                   "device_number": device(mount.mnt.mnt_sb), "mount": address(mount), "super_block": address(mount.mnt.mnt_sb.read_()),
                   "path": text(fs.mount_dst(mount)), "root": "/" + text(fs.dentry_path(mount.mnt.mnt_root))}


def open_files(task):
    for number, file in fs.for_each_file(task):
        # A descriptor that is kept free for accept() has no file yet; address 0 of QEMU's cores can be read.
        if not file:
            continue
        inode = file.f_inode.read_()
        yield {"pid": task.pid.value_(), "fd": number, "file": address(file), "inode": inode.i_ino.value_(),
               "inode_address": address(inode), "mode": f"{inode.i_mode.value_() & 0o7777:04o}", "uid": uid(inode.i_uid),
               "gid": uid(inode.i_gid), "size": inode.i_size.value_(), "nlink": inode.i_nlink.value_(), "pos": file.f_pos.value_(),
               "device": device(inode.i_sb), "dentry": address(file.f_path.dentry.read_()), "operations": address(file.f_op.read_()),
               "fs_type": text(inode.i_sb.s_type.name.string_()), "refcount": file.f_count.counter.value_(),
               "d_path": text(fs.d_path(file.f_path.address_of_()))}, inode


def ipv4(number: int) -> str:
    return socket.inet_ntop(socket.AF_INET, number.to_bytes(4, "little"))


def ipv6(value) -> str:
    return socket.inet_ntop(socket.AF_INET6, bytes(value.in6_u.u6_addr8.value_()))


def sock_row(sk) -> dict:
    """Of any socket; addresses and ports of internet sockets."""
    common = sk.__sk_common
    family = common.skc_family.value_()
    row = {"family": family, "type": sk.sk_type.value_(), "protocol": sk.sk_protocol.value_(), "sock": address(sk),
           "sk_state": common.skc_state.value_(), "net_namespace": common.skc_net.net.ns.inum.value_(),
           "uid": uid(sk.sk_uid), "backlog": None}
    if family in (socket.AF_INET, socket.AF_INET6):
        inet = drgn.cast("struct inet_sock *", sk)
        row["local_port"] = socket.ntohs(inet.inet_sport.value_())
        row["remote_port"] = socket.ntohs(common.skc_dport.value_())
        if family == socket.AF_INET:
            row["local_address"] = ipv4(common.skc_rcv_saddr.value_())
            row["remote_address"] = ipv4(common.skc_daddr.value_())
        else:
            row["local_address"] = ipv6(common.skc_v6_rcv_saddr)
            row["remote_address"] = ipv6(common.skc_v6_daddr)
    del row["backlog"]
    return row


def sockets(tasks):
    for task in tasks:
        for row, inode in open_files(task):
            if inode.i_mode.value_() & S_IFMT != S_IFSOCK:
                continue
            holder = net.SOCKET_I(inode)
            yield {"pid": row["pid"], "fd": row["fd"], "socket": row["inode"], "socket_struct": address(holder), **sock_row(holder.sk.read_())}


def established():
    """Of TCP: what its table of connections has, with those that wait in a queue for accept()."""
    table = prog["tcp_hashinfo"]
    for number in range(table.ehash_mask.value_() + 1):
        for sk in net.sk_nulls_for_each(table.ehash[number].chain.address_of_()):
            yield {"sock": address(sk), "sk_state": sk.__sk_common.skc_state.value_()}


def areas(task):
    for area in mm.for_each_vma(task.mm):
        file = area.vm_file.read_()
        yield {"pid": task.pid.value_(), "start": hex(area.vm_start.value_()), "end": hex(area.vm_end.value_()),
               "flags_raw": hex(area.vm_flags.value_()), "vma": address(area), "file": address(file) if file else None,
               "page_protection": hex(area.vm_page_prot.pgprot.value_()),
               "offset": area.vm_pgoff.value_() * 4096 if file else 0, "inode": file.f_inode.i_ino.value_() if file else 0,
               "d_path": text(fs.d_path(file.f_path.address_of_())) if file else None}


def map_memory() -> None:
    """Page tables of processes lie in the kernel's map of all memory. Cores that QEMU writes do not say where that is, and drgn would look
    for its page tables in itself."""
    prog.add_memory_segment(prog["page_offset_base"].value_(), prog["max_pfn"].value_() * 4096,
                            lambda address, count, offset, physical: prog.read(offset, count, True), False)


def arguments(task):
    words = attempt(mm.cmdline, task)
    return None if words is None else text(b" ".join(words))


def variables(task):
    words = attempt(mm.environ, task)
    return None if words is None else [text(word) for word in words]


def members(name: str):
    for member in prog.type(f"struct {name}").members:
        whole = member.bit_field_size is None
        yield {"type_name": name, "name": member.name or "", "bit_offset": member.bit_offset,
               "bit_size": None if whole else member.bit_field_size}


def symbols() -> dict:
    """Name to address, of names that stand for one address only."""
    found = collections.defaultdict(set)
    for symbol in prog.symbols():
        found[symbol.name].add(symbol.address)
    return {name: next(iter(where)) for name, where in found.items() if len(where) == 1}


def everything() -> dict:
    tasks = list(pids.for_each_task(prog))
    leaders = [task for task in tasks if task.pid.value_() == task.tgid.value_()]
    user = [task for task in leaders if task.mm]
    names = prog["init_uts_ns"].name
    kernel = {
        "processes": [process(task) for task in leaders],
        "process_threads": [thread(task) for task in tasks],
        "kernel_modules": list(modules()),
        "process_namespaces": [namespaces(task) for task in leaders],
        "mounts": list(mounts(leaders)),
        "process_open_files": [row for task in leaders for row, _ in open_files(task)],
        "process_open_sockets": list(sockets(leaders)),
        "established": list(established()),
        "process_memory_map": [row for task in user for row in areas(task)],
        "members": [row for name in MEMBERS_OF for row in members(name)],
        "sizes": {name: prog.type(f"struct {name}").size for name in MEMBERS_OF},
        "symbols": symbols(),
        "kernel": {"version": text(names.release.string_()), "hostname": text(names.nodename.string_()),
                   "domainname": text(names.domainname.string_()), "memory_total": mm.totalram_pages(prog),
                   "command_line": text(prog["saved_command_line"].string_())},
        "drgn": drgn.__version__,
    }
    map_memory()
    return kernel | {
        "arguments": {task.pid.value_(): arguments(task) for task in user},
        "environments": {task.pid.value_(): variables(task) for task in user},
    }


core, vmlinux, vmcoreinfo, out = sys.argv[1:]
with open(vmcoreinfo, "rb") as handle:
    prog = drgn.Program(vmcoreinfo=handle.read())
prog.set_core_dump(core)
prog.load_debug_info([vmlinux])
with open(out, "w", encoding="utf-8") as handle:
    json.dump(everything(), handle)
