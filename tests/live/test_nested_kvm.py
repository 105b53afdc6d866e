"""Real KVM: stock QEMU, and a monitor that is not QEMU, run KVM guests inside an emulated machine; the probe and vitrine run
beside them and look in, with a QMP socket and without. One boot serves all tests here."""

import json
import os
import pathlib

import nested
import pytest
from conftest import PROGRAM, kernel_or_skip
from monitors import tool
from vitrine_guests import Truth, ensure

pytestmark = pytest.mark.nested
KERNEL = "k61"
MSRS = ("lstar", "star", "cstar", "sfmask", "sysenter_cs", "sysenter_esp", "sysenter_eip")
KILLS = 12
TIMEOUT_S = 420

STEPS = """
say() {{ echo "$(cut -d' ' -f1 /proc/uptime) $*" > /dev/console; }}
mkdir /tmp/g
cp /empty-truth /tmp/g/truth
truncate -s {truth_mib}M /tmp/g/truth
{command} &
pid=$!
echo $pid > /out/pid
for i in $(seq 1 900); do
    grep -q "vitrine: ready" /tmp/g/console 2>/dev/null && break
    kill -0 $pid || break
    usleep 100000
done
cp /tmp/g/console /out/console
cat /proc/uptime > /out/ready
q="--qmp /tmp/g/qmp"
say "inner guest: $(tail -n 1 /tmp/g/console)"
register_probe read $pid $q > /out/qmp
register_probe read $pid --kvm > /out/injected
register_probe read $pid --kvm --all --repeat 30 > /out/injected-all
register_probe read $pid $q --all > /out/device-state
register_probe read $pid $q --kvm --all > /out/both
register_probe pause $pid --kvm --all --read > /out/frozen
register_probe pause $pid $q --kvm --read --repeat 3 > /out/stopped
register_probe pause $pid $q --hold-ms 3000 > /out/holder &
holder=$!
for i in $(seq 1 100); do test -s /out/holder && break; usleep 20000; done
register_probe read $pid --kvm > /out/injected-while-stopped
wait $holder
say kills
for i in $(seq 1 {kills}); do
    register_probe storm $pid mixed --kvm > /dev/null &
    victim=$!
    usleep $(( (i * 7919 % 60 + 1) * 1000 ))
    kill -9 $victim
    wait $victim
    for j in $(seq 1 200); do pidof vitrine-guard > /dev/null || break; usleep 10000; done
done
register_probe read $pid $q > /out/after-kills
grep -h TracerPid /proc/$pid/task/*/status | sort | uniq -c > /out/tracers
say tiny
mkfifo /tmp/words
tiny_vmm 2 > /out/tiny < /tmp/words &
tiny=$!
exec 3> /tmp/words
for i in $(seq 1 100); do grep -q ready /out/tiny && break; usleep 50000; done
register_probe read $tiny --kvm --all --repeat 10 > /out/tiny-registers
say vitrine
cat /proc/$pid/maps > /out/maps
if test -x /usr/bin/vitrine; then
    export XDG_CACHE_HOME=/tmp/cache
    for t in qemu:$pid kvm:$pid; do
        vitrine info $t --format json > /out/vitrine-info-${{t%:*}} 2> /out/vitrine-info-${{t%:*}}.err
        vitrine ps $t --format json > /out/vitrine-ps-${{t%:*}} 2> /out/vitrine-ps-${{t%:*}}.err
    done
    vitrine ps qemu:$pid --no-qmp --format json > /out/vitrine-ps-without 2> /out/vitrine-ps-without.err
    vitrine info kvm:$tiny > /out/vitrine-tiny 2> /out/vitrine-tiny.err
fi
say end
echo >&3
for i in $(seq 1 200); do grep -q corrupt /out/tiny && break; usleep 50000; done
kill -0 $pid && echo alive > /out/alive
kill $tiny $pid
wait $pid
cp /tmp/g/truth /out/truth
"""


@pytest.fixture(name="results", scope="module")
def one_boot(tmp_path_factory):
    """What came out of the outer machine."""
    kernel_or_skip(KERNEL)
    kernel = ensure(KERNEL)
    folder = tmp_path_factory.mktemp("nested")
    programs = {"/usr/bin/register_probe": tool("register_probe"), "/usr/bin/tiny_vmm": tool("tiny_vmm")}
    if os.access(PROGRAM, os.X_OK):
        programs["/usr/bin/vitrine"] = str(PROGRAM)
    steps = STEPS.format(truth_mib=nested.TRUTH_MIB, kills=KILLS, command=nested.quoted(nested.inner_command(kernel, "/tmp/g")))
    archive = nested.build(kernel, programs, steps, {"empty-truth": nested.truth_header(folder)})
    found = nested.run(kernel, archive, folder, TIMEOUT_S)
    assert "pid" in found and b"vitrine: ready" in found.get("console", b""), \
        f"the inner guest did not start\n{found['qemu'][-500:]}\n{found['outer-console'][-2000:]}\n{text(found, 'log')[-3000:]}"
    (folder / "truth").write_bytes(found["truth"])
    found["Truth"] = Truth(folder / "truth")
    print(f"nested: {found['seconds']:.1f} s, inner guest ready after {text(found, 'ready').split()[0]} s")
    return found


def text(results: dict, name: str) -> str:
    value = results.get(name, b"")
    return value.decode(errors="replace") if isinstance(value, bytes) else value


def answer(results: dict, name: str, line: int = -1) -> dict:
    lines = text(results, name).splitlines()
    assert lines, f"{name} is empty\n{text(results, 'log')[-3000:]}"
    return json.loads(lines[line])


def only_vcpu(results: dict, name: str) -> dict:
    found = answer(results, name)
    assert "vcpus" in found, found
    vcpu, = found["vcpus"]
    return vcpu


def entry_of_system_calls(results: dict) -> int:
    return next(symbol.address for symbol in results["Truth"].kallsyms if symbol.name == "entry_SYSCALL_64")


def test_injection_agrees_with_qmp(results):
    by_qmp, injected = only_vcpu(results, "qmp"), only_vcpu(results, "injected")
    assert answer(results, "qmp")["route"] == "QMP"
    assert answer(results, "injected")["route"] == "KVM ioctls in the monitor"
    for name in ("index", "cr0", "cr4", "efer", "idt", "gdt"):  # what does not change in a running guest
        assert injected[name] == by_qmp[name], name
    assert all(injected[msr] is None and by_qmp[msr] is None for msr in MSRS)


def test_msrs(results):
    for name in ("injected-all", "device-state", "both"):
        vcpu = only_vcpu(results, name)
        assert vcpu["lstar"] == entry_of_system_calls(results), name
        assert vcpu["star"] == 0x23001000000000, name
    assert answer(results, "device-state")["route"] == "QMP and device state"
    assert answer(results, "both")["route"] == "KVM ioctls in the monitor"
    first, second = only_vcpu(results, "injected-all"), only_vcpu(results, "device-state")
    assert {msr: first[msr] for msr in MSRS} == {msr: second[msr] for msr in MSRS}
    assert answer(results, "injected-all")["failed"] == 0
    print(answer(results, "injected-all")["time"], answer(results, "injected-all")["windows"])


def test_pauses(results):
    frozen = answer(results, "frozen")
    assert frozen["route"] == "monitor's threads stopped"
    assert answer(results, "frozen", 0)["first"]["lstar"] == entry_of_system_calls(results)
    assert answer(results, "stopped")["route"] == "QMP stop" and answer(results, "stopped")["time"]["count"] == 3


def test_a_paused_guests_thread_is_not_touched(results):
    """Its vCPU thread waits in a futex; an interrupted wait there makes QEMU abort."""
    seen = answer(results, "injected-while-stopped")
    assert seen["code"] == "busy" and "paused" in seen["error"], seen
    assert answer(results, "holder")["route"] == "QMP stop"


def test_killed_at_random_moments(results):
    only_vcpu(results, "after-kills")
    assert [line.split()[1:] for line in text(results, "tracers").splitlines()] == [["TracerPid:", "0"]]
    assert text(results, "alive") == "alive\n", "QEMU did not live to the end"


def test_a_monitor_that_is_not_qemu(results):
    facts = dict(line.split("=") for line in text(results, "tiny").splitlines() if line.count("=") == 1)
    seen = answer(results, "tiny-registers")
    assert [vcpu["index"] for vcpu in seen["vcpus"]] == [0, 1]
    for vcpu in seen["vcpus"]:
        assert vcpu["cr3"] == int(facts["cr3"], 0) and vcpu["lstar"] == int(facts["lstar"], 0)
        assert vcpu["gs_base"] == int(facts["gs_base"], 0) and vcpu["idt"] == [int(facts["idt"], 0), 0xfff]
    last = dict(item.split("=") for item in text(results, "tiny").splitlines()[-1].split())
    assert last["corrupt"] == "0" and last["other"] == "0" and last["returns"] == last["interrupted"], last


@pytest.mark.parametrize("name", ["vitrine-ps-qemu", "vitrine-ps-kvm", "vitrine-ps-without"])
def test_processes_of_a_kvm_guest(results, vitrine, name):
    assert pathlib.Path(vitrine.path).exists()
    assert text(results, name), text(results, name + ".err")
    rows = {row["pid"]: row for row in json.loads(text(results, name))}
    truth = results["Truth"]
    missing = {pid: process.comm for pid, process in truth.processes.items() if pid not in rows and pid != truth.collector}
    workers = {pid for pid in missing if truth.processes[pid].kernel_thread}
    assert not set(missing) - workers, missing
    wrong = {pid: (rows[pid]["parent"], process.ppid) for pid, process in truth.processes.items()
             if pid in rows and rows[pid]["parent"] != process.ppid}
    assert not wrong, wrong
