"""Typed objects, `struct` and `identify` against the guest's own account: tasks, symbols, modules, slab caches, physical memory."""

import collections
import json
import subprocess

import pytest
from monitors import tool
from truth_compare import of_guest, of_image
from truth_processes import expected_comm

# Listed in /proc/kallsyms, but in no symbol table of the kernel: code that it made at run time.
MADE_AT_RUN_TIME = {"bpf", "__builtin__kprobes", "__builtin__ftrace"}
SAMPLES = 25


def evenly(things: list, count: int) -> list:
    """So many of them, from the first to the last."""
    return things[::max(1, len(things) // count)] or things


def identified(vitrine, subject, address) -> dict:
    """What `identify` says: what -> list of details."""
    found = collections.defaultdict(list)
    for row in vitrine.rows("identify", subject.target, address if isinstance(address, str) else hex(address)):
        assert row.keys() == {"what", "detail"}
        found[row["what"]].append(row["detail"])
    return found


def as_dict(facts: list) -> dict:
    found = collections.defaultdict(list)
    for fact in facts:
        assert not fact["unknown"], fact
        found[fact["what"]].append(fact["detail"])
    return found


def member(vitrine, subject, kind: str, where, path: str) -> dict:
    (row,) = vitrine.rows("struct", subject.target, kind, where, "--member", path)
    assert row["member"] == path
    return row


def slabs(truth) -> dict:
    """/proc/slabinfo: cache -> (object size, objects in a slab)."""
    lines = (line.split() for line in truth.text("/proc/slabinfo").splitlines()[2:])
    return {words[0]: (int(words[3]), int(words[4])) for words in lines}


def walked(subject) -> list:
    """Every process, by a program over the library that knows nothing but objects."""
    done = subprocess.run([tool("object_probe"), subject.target], capture_output=True, check=False, timeout=240)
    assert done.returncode == 0, f"{subject}: {done.stderr.decode('utf-8', 'replace')}"
    return json.loads(done.stdout)


def check_task_facts(task: dict, caches: dict, has_stack: bool):
    """What lives at a task's address: it, in an object of the cache of its name."""
    whose = f"pid {task['pid']} ({task['comm']}), "
    at = task["task"]
    for offset, facts in ((0, as_dict(task["facts"])), (None, as_dict(task["inside"]))):
        where = facts["task"]
        assert len(where) == 1 and where[0].startswith(f"{whose}task_struct {at:#x}+"), where
        assert offset is None or where[0].endswith("+0x0")
        assert facts["region"] == ["direct map"] and facts["mapping"][0].startswith("guest-physical ")
        assert facts["slab cache"][0].startswith("task_struct, kmem_cache 0x")
        size, most = caches["task_struct"]
        kind, used, number = facts["slab object"][0].split(", ")
        assert kind.startswith(f"{at:#x}+")
        # slabinfo tells the size of a slot; an object is as large, or ends short of the next one's alignment.
        assert size - 64 < int(used.split()[0]) <= size
        index, count = int(number.split()[1]), int(number.split()[3])
        assert 0 <= index < count <= most
    if not has_stack:
        return
    stack = as_dict(task["stack_facts"])
    assert [text for text in stack["stack"] if text.startswith(f"{whose}kernel stack {task['stack']:#x}+0x100")]
    assert stack["region"] == ["vmalloc"]


def check_tasks(vitrine, subject, record_property):
    tasks = walked(subject)
    rows = {int(row["task"], 16): row for row in vitrine.rows("table", "processes", subject.target)}
    first, others = tasks[0], tasks[1:]
    assert (first["pid"], first["comm"]) == (0, "swapper/0")
    assert as_dict(first["facts"])["symbol"] == ["init_task"]
    assert {task["task"]: (task["pid"], task["comm"], task["parent"]) for task in others} == \
           {at: (row["pid"], row["comm"], row["parent"]) for at, row in rows.items()}
    processes = subject.truth.processes
    known = [task for task in others if task["pid"] in processes]
    assert len(known) > 140 and len(others) - len(known) <= 8
    assert [task["comm"] for task in known] == [expected_comm(processes[task["pid"]]) for task in known]
    caches = slabs(subject.truth)
    zombies = {pid for pid, process in processes.items() if process.state == "Z"}
    for task in others:
        # The stack of a process that has ended is freed at once, the process later.
        check_task_facts(task, caches, has_stack=task["stack"] != 0 or task["pid"] not in zombies)
    record_property("compared", f"{subject.id}: {len(others)} tasks, {len(known)} of them known to the guest")


def check_program(vitrine, subject):
    """The same by the commands, for some of them."""
    assert member(vitrine, subject, "task_struct", "init_task", "comm")["value"] == "swapper/0"
    assert member(vitrine, subject, "struct task_struct", "init_task", "pid")["value"] == 0
    rows = vitrine.rows("table", "processes", subject.target)
    for row in evenly(rows, SAMPLES):
        assert member(vitrine, subject, "task_struct", row["task"], "pid")["value"] == row["pid"]
        assert member(vitrine, subject, "task_struct", row["task"], "comm")["value"] == row["comm"]
        assert member(vitrine, subject, "task_struct", row["task"], "real_parent.tgid")["value"] == row["parent"]
        facts = identified(vitrine, subject, row["task"])
        assert [text for text in facts["task"] if text.startswith(f"pid {row['pid']} (")], facts
        assert facts["slab cache"][0].startswith("task_struct, ")
        physical = facts["mapping"][0].split()[1].rstrip(",")
        again = identified(vitrine, subject, f"gpa:{physical}")
        assert again["virtual"] == [row["task"]]
        assert [again[what] for what in ("task", "slab cache", "page")] == [facts[what] for what in ("task", "slab cache", "page")]


def check_whole(vitrine, subject):
    """A whole structure: as its definition has it, in order, and as text."""
    (row,) = vitrine.rows("struct", subject.target, "task_struct", "init_task")
    assert row["type"] == "struct task_struct" and int(row["address"], 16) == subject.truth.symbol("init_task")
    names = [item["name"] for item in row["members"]]
    assert len(names) > 150 and len(set(names)) == len(names)
    offsets = [item["offset"] for item in row["members"]]
    assert offsets == sorted(offsets)
    found = {item["name"]: item for item in row["members"]}
    assert found["comm"]["value"] == "swapper/0" and found["comm"]["type"].startswith("char [16]")
    assert found["real_cred"]["symbol"] == "init_cred" and found["nsproxy"]["symbol"] == "init_nsproxy"
    assert int(found["real_cred"]["value"], 16) == subject.truth.symbol("init_cred")
    (where,) = vitrine.rows("types", subject.target, "task_struct", "--member", "comm")
    assert found["comm"]["offset"] == where["offset"]
    text = vitrine.ok("struct", subject.target, "task_struct", "init_task").stdout.decode()
    assert text.startswith(f"*(struct task_struct *){row['address']} = {{\n") and text.endswith("};\n")
    assert '.comm = "swapper/0",' in text and "cannot be read" not in text
    assert vitrine.ok("struct", subject.target, "list_head").stdout == vitrine.ok("types", subject.target, "list_head").stdout


def check_symbols(vitrine, subject, record_property):
    truth = subject.truth
    names = collections.defaultdict(set)
    for symbol in truth.kallsyms:
        names[symbol.address].add(symbol.name + (f" [{symbol.module}]" if symbol.module else ""))
    end = truth.symbol("_end")
    text = truth.symbol("_text")
    kernel = [symbol for symbol in truth.kallsyms if not symbol.module and text <= symbol.address < end]
    modules = [symbol for symbol in truth.kallsyms if symbol.module and symbol.module not in MADE_AT_RUN_TIME]
    asked = evenly(kernel, SAMPLES) + evenly(modules, SAMPLES)
    passed_over = 0
    for symbol in asked:
        facts = identified(vitrine, subject, symbol.address)
        # Some symbols of a module mark the end of an area, or lie in what was freed after loading.
        if symbol.module and "module" not in facts:
            assert "symbol" not in facts
            passed_over += 1
            continue
        assert facts["symbol"][0] in names[symbol.address], symbol
        if symbol.module:
            assert facts["module"][0].startswith(f"{symbol.module}, ") and facts["region"] == ["module area"]
        else:
            assert facts["region"][0].startswith("kernel ") and "module" not in facts
    assert passed_over <= SAMPLES // 2
    record_property("compared", f"{subject.id}: {len(asked)} symbols")
    etext, rodata = truth.symbol("_etext"), truth.symbol("__start_rodata")
    assert identified(vitrine, subject, etext - 1)["region"] == ["kernel text"]
    assert identified(vitrine, subject, rodata)["region"] == ["kernel read-only data"]
    assert identified(vitrine, subject, "init_task+0x10")["symbol"] == ["init_task+0x10"]


def check_modules(vitrine, subject):
    for module in subject.truth.modules.values():
        facts = identified(vitrine, subject, module.address)
        assert facts["module"][0].startswith(f"{module.name}, ") and facts["module"][0].endswith(f" {module.address:#x}+0x0")
        inside = identified(vitrine, subject, module.address + 0x40)
        assert inside["module"][0].endswith(f" {module.address:#x}+0x40")


def check_places(vitrine, subject):
    """Addresses that are nothing's, and those of other areas."""
    code = next(line for line in subject.truth.text("/proc/iomem").splitlines() if line.endswith(": Kernel code"))
    start = int(code.split("-")[0], 16)
    facts = identified(vitrine, subject, f"gpa:{start:#x}")
    assert facts["physical"] == ["RAM"] and facts["region"] == ["kernel text"]
    assert facts["virtual"] == [f"{subject.truth.symbol('_text'):#x}"]
    assert identified(vitrine, subject, 0x401000)["region"][0].startswith("user half")
    assert identified(vitrine, subject, 0x8000_0000_0000_0000)["region"][0].startswith("not canonical")
    assert identified(vitrine, subject, 0xFFFFFE0000000000)["region"] == ["cpu_entry_area"]
    beyond = subject.ram[-1][1] + (1 << 40)
    assert identified(vitrine, subject, f"gpa:{beyond:#x}")["physical"] == ["not RAM"]
    # The first CPU's copy of a per-CPU variable.
    (row,) = vitrine.rows("struct", subject.target, "long unsigned int", "__per_cpu_offset")
    linked = subject.truth.symbol("runqueues")
    at = (row["value"] + linked) % (1 << 64)
    facts = identified(vitrine, subject, at + 8)
    assert facts["per-cpu"] == ["CPU 0, runqueues+0x8"]
    # Its idle task is the first one.
    assert int(member(vitrine, subject, "rq", hex(at), "idle")["value"], 16) == subject.truth.symbol("init_task")


CHECKS = {"program": check_program, "whole": check_whole, "modules": check_modules, "places": check_places}


def refused(done, code: int, words: str):
    assert done.returncode == code and done.stdout == b""
    assert words in done.stderr.decode()


@pytest.mark.parametrize("form", ["raw", "elf"])
def test_tasks_of_an_image(vitrine, images, form, record_property):
    check_tasks(vitrine, of_image(images, form), record_property)


@pytest.mark.guests("k510", "k61", "k612", "k7", "k61genpti", "k7la57pti")  # each kernel, isolation, both numbers of levels
@pytest.mark.parametrize("what", CHECKS)
def test_commands_on_an_image(vitrine, images, what):
    CHECKS[what](vitrine, of_image(images, "raw"))


def test_symbols_of_an_image(vitrine, images, record_property):
    check_symbols(vitrine, of_image(images, "raw"), record_property)


@pytest.mark.guests("k61", "k7")
def test_a_running_guest(vitrine, guest):
    subject = of_guest(guest)
    for check in (check_whole, check_modules, check_places):
        check(vitrine, subject)
    for pid, comm in ((1, "init"), (2, "kthreadd")):
        (row,) = (row for row in vitrine.rows("ps", subject.target, "--columns", "pid,task") if row["pid"] == pid)
        assert member(vitrine, subject, "task_struct", row["task"], "comm")["value"] == comm
        facts = identified(vitrine, subject, row["task"])
        assert facts["task"] == [f"pid {pid} ({comm}), task_struct {row['task']}+0x0"]
        assert facts["slab cache"][0].startswith("task_struct, ")


@pytest.mark.guests("k61")
def test_what_is_not_there(vitrine, images):
    target = images.raw
    refused(vitrine("struct", target, "no_such_struct", "init_task"), 5, "no type 'no_such_struct'")
    refused(vitrine("struct", target, "task_struct", "no_such_symbol"), 5, "no_such_symbol")
    refused(vitrine("struct", target, "task_struct", "init_task+x"), 2, "neither an address nor a symbol")
    refused(vitrine("struct", target, "task_struct", "init_task", "-m", "nope"), 5, "no member 'nope'")
    refused(vitrine("struct", target, "task_struct", "init_task", "-m", "mm.pgd"), 5, "is NULL")
    refused(vitrine("struct", target, "task_struct", "0x10"), 5, "nothing of it can be read")
    refused(vitrine("struct", target, "task_struct", "init_task", "-m", "comm[16]"), 5, "element 16")
    refused(vitrine("identify", target, "gpa:here"), 2, "guest-physical")
