"""What /proc/net and the links of /proc/PID/fd said of sockets, in the columns of the table `process_open_sockets`."""

import ipaddress
import re
import struct

from truth_compare import Explanation, shown

LISTEN, TIME_WAIT, SYN_RECV, NEW_SYN_RECV = 0x0A, 6, 3, 12
ACCEPTS = 0x10000  # __SO_ACCEPTCON
TIMERS = {0: "none", 1: "retransmit", 2: "keepalive", 4: "probe"}
CONNECTED, UNCONNECTED, CONNECTING, DISCONNECTING = 3, 1, 2, 4  # enum socket_state
UNIX_STATES = {CONNECTED: "CONNECTED", UNCONNECTED: "UNCONNECTED", CONNECTING: "CONNECTING", DISCONNECTING: "DISCONNECTING"}
# A name may hold anything, a newline too: a line ends where the next one begins.
UNIX_LINE = re.compile(rb"^\S+: ([0-9A-F]{8}) ([0-9A-F]{8}) ([0-9A-F]{8}) ([0-9A-F]{4}) ([0-9A-F]{2}) +(\d+)(?: (.*?))?\n"
                       rb"(?=\S+: [0-9A-F]{8} [0-9A-F]{8} |\Z)", re.M | re.S)
INET = {"tcp": (2, 6, 1), "tcp6": (10, 6, 1), "udp": (2, 17, 2), "udp6": (10, 17, 2), "raw": (2, None, 3), "raw6": (10, None, 3)}
MOMENTARY = {"timer", "retransmits"}


def address(text: str) -> str:
    """An address as /proc prints it: words of 32 bits in the machine's order."""
    data = b"".join(struct.pack("<I", int(text[at:at + 8], 16)) for at in range(0, len(text), 8))
    if len(data) == 4:
        return str(ipaddress.IPv4Address(data))
    value = ipaddress.IPv6Address(data)
    return f"::ffff:{value.ipv4_mapped}" if value.ipv4_mapped else str(value)


def lines(truth, name: str) -> list:
    """The lines of /proc/net/NAME without the heading, as words."""
    return [line.split() for line in truth.text(f"/proc/net/{name}").splitlines()[1:]]


def expected_inet(truth) -> dict:
    """Key to fields of every line of tcp, tcp6, udp, udp6, raw, raw6."""
    found = {}
    for name, (family, protocol, kind) in INET.items():
        for words in lines(truth, name):
            local, remote, state = words[1], words[2], int(words[3], 16)
            tx, rx = (int(part, 16) for part in words[4].split(":"))
            timer, inode = int(words[5].split(":")[0], 16), int(words[9]) or None
            ends = tuple(part for text in (local, remote) for part in (address(text.split(":")[0]), int(text.split(":")[1], 16)))
            row = {"family": family, "protocol": protocol if protocol else ends[1], "type": kind, "state": state,
                   "tx_queue": tx, "rx_queue": rx, "uid": int(words[7]), "inode": inode}
            if protocol == 6:
                small = timer == 3 or (state == SYN_RECV and inode is None)
                row.update(kind="time_wait" if timer == 3 else "request" if small else "socket",
                           timer=None if small else TIMERS[timer], retransmits=int(words[6], 16))
                if timer == 3:
                    row.update(uid=None, retransmits=None)
            found[(name, *ends, inode)] = row
    return found


def inet_row(row: dict) -> tuple:
    """The same of a row of the table: (key, fields)."""
    names = {(family, kind): name for name, (family, _, kind) in INET.items()}
    name = names[row["family"], row["type"]]
    state = SYN_RECV if row["sk_state"] == NEW_SYN_RECV else row["sk_state"]
    fields = {name: row[name] for name in ("family", "protocol", "type", "tx_queue", "rx_queue", "uid")}
    fields.update(state=state, inode=row["socket"])
    if row["protocol"] == 6 and row["type"] == 1:
        fields.update({name: row[name] for name in ("kind", "timer", "retransmits")})
        if row["kind"] != "socket":
            fields.update(tx_queue=0, rx_queue=0)
        if state == LISTEN:
            assert row["tx_queue"] is None and row["rx_queue"] is None, row
            fields.update(tx_queue=0, rx_queue=row["backlog"])
    key = (name, row["local_address"], row["local_port"], row["remote_address"], row["remote_port"], row["socket"])
    return key, fields


def request_owner(expected: dict, found: dict) -> None:
    """A request has no owner of its own: /proc shows the listener's."""
    for key, row in found.items():
        if row.get("kind") == "request" and key in expected:
            row["uid"] = expected[key]["uid"]


def expected_unix(truth) -> list:
    """Fields of every line of /proc/net/unix."""
    found = []
    for match in UNIX_LINE.finditer(truth["/proc/net/unix"]):
        protocol, flags, kind, state = (int(match[part], 16) for part in (2, 3, 4, 5))
        found.append({"protocol": protocol, "type": kind, "inode": int(match[6]) or None,
                      "state": "LISTEN" if flags & ACCEPTS else UNIX_STATES[state],
                      "path": shown(match[7]) if match[7] is not None else None})
    return found


def unix_row(row: dict) -> dict:
    return {"protocol": row["protocol"], "type": row["type"], "inode": row["socket"], "state": row["state"], "path": row["path"]}


def expected_netlink(truth) -> list:
    """Fields of every line of /proc/net/netlink: sk Eth Pid Groups Rmem Wmem Dump Locks Drops Inode."""
    return [{"protocol": int(words[1]), "portid": int(words[2]), "groups": int(words[3], 16), "rx_queue": int(words[4]),
             "tx_queue": int(words[5]), "inode": int(words[9])} for words in lines(truth, "netlink")]


def netlink_row(row: dict) -> dict:
    return {"protocol": row["protocol"], "portid": row["portid"], "groups": int(row["groups"], 16), "rx_queue": row["rx_queue"],
            "tx_queue": row["tx_queue"], "inode": row["socket"]}


def expected_packet(truth) -> list:
    """Fields of every line of /proc/net/packet: sk RefCnt Type Proto Iface R Rmem User Inode."""
    return [{"type": int(words[2]), "protocol": int(words[3], 16), "interface": int(words[4]), "rx_queue": int(words[6]),
             "uid": int(words[7]), "inode": int(words[8])} for words in lines(truth, "packet")]


def packet_row(row: dict) -> dict:
    return {"type": row["type"], "protocol": row["packet_protocol"], "interface": row["interface"], "rx_queue": row["rx_queue"],
            "uid": row["uid"], "inode": row["socket"]}


def expected_descriptors(truth) -> dict:
    """(process, descriptor) to inode number of every socket that a process has open."""
    found = {}
    for pid, process in truth.processes.items():
        for number, target in process.fds.items():
            if target.startswith(b"socket:["):
                found[pid, number] = int(target[8:-1])
    return found


def sockstat(truth) -> dict:
    """TCP: inuse 3 orphan 0 ... -> {"TCP": {"inuse": 3, "orphan": 0}}"""
    found = {}
    for line in truth.text("/proc/net/sockstat").splitlines():
        name, _, rest = line.partition(":")
        words = rest.split()
        found[name] = dict(zip(words[::2], map(int, words[1::2])))
    return found


EXPLANATIONS = {
    # Timers go off, and what they do is counted, between the account and the look.
    "a timer of TCP": Explanation(lambda difference, _: difference.field in MOMENTARY, 4),
}
