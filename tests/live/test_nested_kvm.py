"""Real KVM: stock QEMU, and a monitor that is not QEMU, run KVM guests inside an emulated machine; the probe and vitrine run
beside them and look in, with a QMP socket and without. One boot serves all tests here."""

import json
import os
import random

import nested
import pytest
from conftest import kernel_or_skip, the_object
from monitors import tool
from truth_compare import Comparison, Explanation, Subject
from truth_processes import EXPLANATIONS, compare_rows, expected_process, found_row
from vitrine_guests import Truth, ensure

# The guest inside runs on for many seconds until the last look: any of some 50 kernel threads may reach its next tick.
NESTED_EXPLANATIONS = {**EXPLANATIONS, "processor time goes on": Explanation(EXPLANATIONS["processor time goes on"].rule, 40)}

pytestmark = pytest.mark.nested
KERNEL = "k61"
MSRS = ("lstar", "star", "cstar", "sfmask", "sysenter_cs", "sysenter_esp", "sysenter_eip")
SEED = int(os.environ.get("VITRINE_SEED", random.randrange(1 << 32)))
STORMS = 8  # killed in each of two kinds
LONGEST_MS = 60
RUNS = 10  # of vitrine, killed at any moment of their running time
TRIPLES = 60  # readings by injection, QMP, injection
EXIT_NO_KERNEL = 4
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
say triples
for i in $(seq 1 {triples}); do
    register_probe read $pid --kvm
    register_probe read $pid $q
done > /out/triples
register_probe read $pid --kvm >> /out/triples
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
guards() {{ for j in $(seq 1 200); do pidof vitrine-guard > /dev/null || break; usleep 10000; done; }}
# One line for each kill: the moment, the guest's status, and all that different threads say of a tracer and of their state.
account() {{
    guards
    echo "$1 $(register_probe status $pid $q) $(cat /proc/$pid/task/*/status | grep -e TracerPid -e 'State:.[tT]' | sort -u)"
}}
say kills
for us in {storm_moments}; do
    for route in "" "$q"; do
        register_probe storm $pid mixed --kvm $route > /dev/null &
        victim=$!
        usleep $us
        kill -9 $victim
        wait $victim
        account $us
    done
done > /out/kills
register_probe read $pid $q > /out/after-kills
say tiny
mkfifo /tmp/words
tiny_vmm 2 > /out/tiny < /tmp/words &
tiny=$!
exec 3> /tmp/words
for i in $(seq 1 100); do grep -q ready /out/tiny && break; usleep 50000; done
register_probe read $tiny --kvm --all --repeat 10 > /out/tiny-registers
say vitrine
cat /proc/$pid/maps > /out/maps
export XDG_CACHE_HOME=/tmp/cache
look() {{ vitrine $2 --format json > /out/vitrine-$1 2> /out/vitrine-$1.err; echo $? > /out/vitrine-$1.status; }}
for t in qemu:$pid kvm:$pid; do
    look info-${{t%:*}} "info $t"
    look ps-${{t%:*}} "table processes $t"
done
look info-without "info qemu:$pid --no-qmp"
look ps-without "table processes qemu:$pid --no-qmp"
look tiny "info kvm:$tiny"
say kills of vitrine
now() {{ cut -d' ' -f1 /proc/uptime | tr -d .; }}
begin=$(now)
vitrine ps qemu:$pid --paused > /out/vitrine-paused
took_ms=$(( ($(now) - begin) * 10 ))
echo $took_ms > /out/vitrine-took
for permille in {run_moments}; do
    vitrine ps qemu:$pid --paused > /dev/null 2>&1 &
    victim=$!
    usleep $(( took_ms * permille ))
    kill -9 $victim
    wait $victim
    account $permille
done > /out/vitrine-kills
look ps-after "table processes qemu:$pid"
say end
echo >&3
for i in $(seq 1 200); do grep -q corrupt /out/tiny && break; usleep 50000; done
kill -0 $pid && echo alive > /out/alive
kill $tiny $pid
wait $pid
cp /tmp/g/truth /out/truth
"""


def moments(dice, count: int, longest: int) -> str:
    """Some from the very beginning on."""
    return " ".join(str(dice.randrange(longest)) for _ in range(count))


def steps_inside(kernel) -> str:
    dice = random.Random(SEED)
    print(f"moments of kills by VITRINE_SEED={SEED}")
    return STEPS.format(truth_mib=nested.TRUTH_MIB, triples=TRIPLES, storm_moments=moments(dice, STORMS, 1000 * LONGEST_MS),
                        run_moments=moments(dice, RUNS, 1000), command=nested.quoted(nested.inner_command(kernel, "/tmp/g")))


@pytest.fixture(name="results", scope="module")
def one_boot(tmp_path_factory, vitrine):
    """What came out of the outer machine."""
    kernel_or_skip(KERNEL)
    kernel = ensure(KERNEL)
    folder = tmp_path_factory.mktemp("nested")
    programs = {"/usr/bin/register_probe": tool("register_probe"), "/usr/bin/tiny_vmm": tool("tiny_vmm"),
                "/usr/bin/vitrine": str(vitrine.path)}
    steps = steps_inside(kernel)
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
    """All registers, wherever the guest idles between two readings by injection: both are then what QMP read in between."""
    by_qmp, injected = only_vcpu(results, "qmp"), only_vcpu(results, "injected")
    assert answer(results, "qmp")["route"] == "QMP"
    assert answer(results, "injected")["route"] == "KVM ioctls in the monitor"
    for name in ("index", "cr0", "cr4", "efer", "idt", "gdt"):  # what does not change in a running guest
        assert injected[name] == by_qmp[name], name
    assert all(injected[msr] is None and by_qmp[msr] is None for msr in MSRS)
    answers = [json.loads(line) for line in text(results, "triples").splitlines()]
    assert [item.get("route") for item in answers] == ["KVM ioctls in the monitor", "QMP"] * TRIPLES + ["KVM ioctls in the monitor"]
    states = [item["vcpus"] for item in answers]
    quiet = [(first, between) for first, between, second in zip(states[::2], states[1::2], states[2::2]) if first == second]
    print(f"{len(quiet)} of {TRIPLES} pairs of readings by injection are equal")
    assert quiet
    for first, between in quiet:
        assert first == between


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


@pytest.mark.parametrize("name,count", [("kills", 2 * STORMS), ("vitrine-kills", RUNS)])
def test_killed_at_random_moments(results, name, count):
    """After each kill the guest runs, and no thread is traced or stopped."""
    lines = text(results, name).splitlines()
    assert [line.split()[1:] for line in lines] == [["running", "TracerPid:", "0"]] * count, lines
    only_vcpu(results, "after-kills")
    assert text(results, "alive") == "alive\n", "QEMU did not live to the end"
    print(f"vitrine ps --paused took {text(results, 'vitrine-took').strip()} ms")


def test_a_monitor_that_is_not_qemu(results):
    facts = dict(line.split("=") for line in text(results, "tiny").splitlines() if line.count("=") == 1)
    seen = answer(results, "tiny-registers")
    assert [vcpu["index"] for vcpu in seen["vcpus"]] == [0, 1]
    for vcpu in seen["vcpus"]:
        assert vcpu["cr3"] == int(facts["cr3"], 0) and vcpu["lstar"] == int(facts["lstar"], 0)
        assert vcpu["gs_base"] == int(facts["gs_base"], 0) and vcpu["idt"] == [int(facts["idt"], 0), 0xfff]
    last = dict(item.split("=") for item in text(results, "tiny").splitlines()[-1].split())
    assert last["corrupt"] == "0" and last["other"] == "0" and last["returns"] == last["interrupted"], last


ROUTES = {"vitrine-info-qemu": "QMP", "vitrine-info-kvm": "KVM ioctls in the monitor", "vitrine-info-without": "KVM ioctls in the monitor"}


@pytest.mark.parametrize("name", ROUTES)
def test_kernel_of_a_kvm_guest(results, name):
    """Found by the registers, which came by the route that was left to it: memory alone would do as well, and is not what is tested."""
    assert text(results, name + ".status") == "0\n", text(results, name + ".err")
    seen = the_object(json.loads(text(results, name)))
    kernel, registers, truth = seen["kernel"], seen["registers"], results["Truth"]
    assert registers["route"] == ROUTES[name] and registers["why_not"] is None and len(registers["vcpus"]) == 1, registers
    assert kernel["found_by"] == "vCPU registers" and kernel["release"] == truth.release and not kernel["rejected"], kernel
    assert int(kernel["text_va"], 16) == truth.symbol("_text")
    assert seen["machine"]["accelerator"] in ("kvm", "KVM"), seen["machine"]


def test_a_guest_without_a_kernel(results):
    """The tiny monitor's guest runs in long mode, on page tables: its registers are read, and it is no Linux."""
    error = text(results, "vitrine-tiny.err")
    assert text(results, "vitrine-tiny.status") == f"{EXIT_NO_KERNEL}\n" and text(results, "vitrine-tiny") == "", error
    assert "no Linux kernel found" in error, error


@pytest.mark.parametrize("name", ["vitrine-ps-qemu", "vitrine-ps-kvm", "vitrine-ps-without", "vitrine-ps-after"])
def test_processes_of_a_kvm_guest(results, name, record_property):
    assert text(results, name + ".status") == "0\n", text(results, name + ".err")
    rows, truth = json.loads(text(results, name)), results["Truth"]
    found = {row["pid"]: found_row(row) for row in rows}
    assert len(found) == len(rows), "a process twice"
    comparison = Comparison(Subject("nested", name, truth, ()), NESTED_EXPLANATIONS)
    compare_rows(comparison, {pid: expected_process(process) for pid, process in truth.processes.items()}, found, truth.processes)
    comparison.finish(record_property, at_least=150 * 25)
