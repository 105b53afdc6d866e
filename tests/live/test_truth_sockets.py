"""Every socket, of processes and of the kernel's tables, against /proc/net and the links of /proc/PID/fd."""

import collections
import pathlib
import shutil
import struct
import subprocess

import pytest
import truth_sockets as expected
from truth_compare import Comparison, of_guest, of_image
from vitrine_guests import initramfs

OWN_PROGRAM = pathlib.Path(__file__).parent / "programs/odd_sockets.c"
INITIAL = 1  # the process whose namespaces are the initial ones


def tables_rows(rows: list, *families) -> list:
    """Each socket of the kernel's tables once, however many processes have it open."""
    return list({row["sock"]: row for row in rows if row["family"] in families and row["found_in"] != "file"}.values())


def compare_fields(comparison, key, wanted: dict, got: dict) -> None:
    for field, value in wanted.items():
        comparison.equal(key, field, value, got[field])


def compare_keyed(comparison, wanted: dict, got: dict) -> None:
    for key in wanted.keys() | got.keys():
        if key in wanted and key in got:
            compare_fields(comparison, key, wanted[key], got[key])
        else:
            comparison.only_one(key, "exists", wanted.get(key), got.get(key))


def compare_lists(comparison, kind: str, wanted: list, got: list) -> None:
    """Without a key of their own: equal ones are counted."""
    def counted(rows):
        return collections.Counter(tuple(sorted(row.items(), key=str)) for row in rows)
    wanted, got = counted(wanted), counted(got)
    for row in wanted.keys() | got.keys():
        comparison.equal((kind, row), "how many", wanted[row], got[row])


def compare_counts(comparison, truth, tcp: list, other: list) -> None:
    """/proc/net/sockstat counts IPv4, but for TIME_WAIT and orphans."""
    said = expected.sockstat(truth)
    comparison.equal("sockstat", "TCP", said["TCP"]["inuse"], sum(row["family"] == 2 and row["kind"] == "socket" for row in tcp))
    comparison.equal("sockstat", "TIME_WAIT", said["TCP"]["tw"], sum(row["kind"] == "time_wait" for row in tcp))
    comparison.equal("sockstat", "orphan", said["TCP"]["orphan"], sum(row["orphan"] == 1 for row in tcp))
    for name, kind in (("UDP", 2), ("RAW", 3)):
        count = sum(row["family"] == 2 and row["type"] == kind for row in other)
        comparison.equal("sockstat", name, said[name]["inuse"], count)


def check_sockets(vitrine, subject, record_property, *options, at_least: int = 120) -> list:
    truth = subject.truth
    everything = vitrine.rows("table", "process_open_sockets", subject.target, *options)
    namespace = truth.processes[INITIAL].namespaces["net"]
    rows = [row for row in everything if row["net_namespace"] == namespace]
    comparison = Comparison(subject, expected.EXPLANATIONS)
    inet = tables_rows(rows, 2, 10)
    known = dict(map(expected.inet_row, inet))
    assert len(known) == len(inet), "a socket twice"
    wanted = expected.expected_inet(truth)
    expected.request_owner(wanted, known)
    compare_keyed(comparison, wanted, known)
    tcp = [row for row in inet if row["type"] == 1]
    compare_counts(comparison, truth, tcp, [row for row in inet if row["type"] != 1])
    compare_lists(comparison, "unix", expected.expected_unix(truth), map(expected.unix_row, tables_rows(rows, 1)))
    compare_lists(comparison, "netlink", expected.expected_netlink(truth), map(expected.netlink_row, tables_rows(rows, 16)))
    compare_lists(comparison, "packet", expected.expected_packet(truth), map(expected.packet_row, tables_rows(rows, 17)))
    held = {(row["pid"], row["fd"]): row["socket"] for row in everything if row["pid"] is not None}
    wanted = expected.expected_descriptors(truth)
    for key in wanted.keys() | held.keys():
        comparison.equal(key, "socket of the descriptor", wanted.get(key), held.get(key))
    comparison.finish(record_property, at_least=at_least)
    return everything


@pytest.mark.parametrize("form", ["raw", "elf"])
def test_sockets_of_an_image(vitrine, images, form, record_property):
    check_sockets(vitrine, of_image(images, form), record_property)


@pytest.mark.guests("k61")
def test_sockets_of_a_running_guest(vitrine, guest, record_property):
    check_sockets(vitrine, of_guest(guest), record_property)


def test_listening_ports(vitrine, images):
    """The listeners of /proc/net/tcp and tcp6, bound UDP and raw sockets, and unix listeners, and nothing else."""
    truth = images.truth
    rows = vitrine.rows("table", "listening_ports", images.raw)
    owner = truth.workload["sockets"]
    wanted = {(key[0], key[1], key[2]) for key, row in expected.expected_inet(truth).items()
              if row["type"] != 1 or row["state"] == expected.LISTEN}
    names = {(family, kind): name for name, (family, _, kind) in expected.INET.items()}
    inet = [row for row in rows if row["family"] != 1]
    assert {(names[row["family"], row["type"]], row["address"], row["port"]) for row in inet} == wanted
    assert len(inet) == len(wanted)
    wanted = {row["path"] for row in expected.expected_unix(truth)
              if row["state"] == "LISTEN" or (row["type"] == 2 and row["path"])}
    assert {row["path"] for row in rows if row["family"] == 1} == wanted
    assert all(row["pid"] == owner and row["found_in"] == "file,hash" for row in rows)


@pytest.fixture(scope="module")
def odd_sockets(tmp_path_factory):
    """The program that makes sockets of all kinds, for the guest."""
    program = tmp_path_factory.mktemp("programs") / "odd_sockets"
    subprocess.run([*initramfs.STATIC, "-o", str(program), str(OWN_PROGRAM)], check=True)
    return program


@pytest.mark.parametrize("kernel", ["k510", "k61", "k612", "k7"])
def test_sockets_of_all_kinds(vitrine, boot, odd_sockets, kernel, record_property):
    """Not accepted yet, TIME_WAIT, requests, orphans, packet sockets, a namespace of its own, one that is in a message."""
    collect = initramfs.programs()["collect"]
    guest = boot(kernel=kernel, extra_files=(("bin/collect", str(odd_sockets)), ("bin/collect-truth", str(collect))))
    rows = check_sockets(vitrine, of_guest(guest), record_property, at_least=300)
    lone = [row for row in rows if row["pid"] is None and row["family"] != 16]
    states = collections.Counter((row["kind"], row["state"]) for row in lone if row["protocol"] == 6)
    assert states["request", "SYN_RECV"] == 1
    assert states["time_wait", "TIME_WAIT"] >= 1 and states["time_wait", "FIN_WAIT2"] == 1
    assert states["socket", "ESTABLISHED"] == 4, "those that are not accepted yet"
    orphan, = [row for row in lone if row["orphan"] == 1]
    assert orphan["state"] == "FIN_WAIT1" and orphan["tx_queue"] > 0
    assert [row["local_port"] for row in lone if row["protocol"] == 17] == [3340], "the one in a message"
    assert {row["state"] for row in lone if row["family"] == 1} == {"CONNECTING"}, "not accepted"
    packet = {row["interface"]: row for row in rows if row["family"] == 17}
    assert packet[0]["packet_protocol"] == 3 and packet[0]["filter"] and packet[1]["packet_protocol"] == 0x800
    other, = [row for row in rows if row["local_port"] == 3350]
    assert other["net_namespace"] not in (None, rows[0]["net_namespace"]) and other["found_in"] == "file,hash"
    ports = vitrine.rows("table", "listening_ports", f"qemu:{guest.pid}")
    assert {row["port"] for row in ports if row["protocol"] == 6} >= {3333, 3334, 3336, 3350}


def test_sockets_that_come_and_go(vitrine, boot, odd_sockets):
    """While connections are made and reset all the time no row is of memory that is a socket's no more, and none is missed by the tables."""
    collect = initramfs.programs()["collect"]
    guest = boot(kernel="k61", smp=2, extra_files=(("bin/collect", str(odd_sockets)), ("bin/collect-truth", str(collect)),
                                                   ("etc/churn", b"")))
    steady = None
    for _ in range(40):
        rows = vitrine.rows("table", "process_open_sockets", f"qemu:{guest.pid}")
        assert {row["family"] for row in rows} == {1, 2, 10, 16, 17}, [row for row in rows if row["family"] is None]
        assert all(row["net_namespace"] for row in rows)
        lost = [row for row in rows if row["found_in"] == "file" and row["family"] in (1, 17)]
        lost += [row for row in rows if row["found_in"] == "file" and row["state"] in ("LISTEN", "ESTABLISHED")]
        assert not lost, lost
        ports = sorted(row["local_port"] for row in rows if row["state"] == "LISTEN" and row["family"] == 2)
        assert ports[-4:] == [3360, 3361, 3362, 3363]
        steady = steady or ports
        assert ports == steady


def unlink(image, node: int) -> None:
    """Takes a node out of its chain, as a rootkit would. All of it is in the direct map, which begins at a multiple of 1 GiB."""
    def at(address):
        assert address >> 47 == 0x1FFFF and address % (1 << 30) < 256 << 20, hex(address)
        return address % (1 << 30)
    image.seek(at(node))
    following, pprev = struct.unpack("<QQ", image.read(16))
    image.seek(at(pprev))
    image.write(struct.pack("<Q", following))
    if following and not following & 1:
        image.seek(at(following) + 8)
        image.write(struct.pack("<Q", pprev))


@pytest.mark.guests("k61")
def test_sockets_taken_out_of_their_tables(vitrine, images, tmp_path):
    """A process has them open still; the kernel's tables, and so /proc/net, have them no more."""
    before = {row["sock"]: row for row in vitrine.rows("table", "process_open_sockets", images.raw)}
    offset = vitrine.rows("types", images.raw, "sock_common", "--member", "skc_node")[0]["offset"]
    hidden = {sock for sock, row in before.items() if row["state"] == "LISTEN" or (row["family"], row["type"]) == (2, 2)}
    assert len(hidden) == 4
    copy = shutil.copyfile(images.raw, tmp_path / "tampered.raw")
    with open(copy, "r+b") as image:
        for sock in hidden:
            unlink(image, int(sock, 16) + offset)
    after = {row["sock"]: row for row in vitrine.rows("table", "process_open_sockets", copy)}
    assert after.keys() == before.keys()
    for sock, row in after.items():
        expected_in = "file" if sock in hidden else before[sock]["found_in"]
        assert row == {**before[sock], "found_in": expected_in}
