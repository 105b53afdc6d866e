"""A guest of many processes: each is found with all it has, by the tables, by SQL over them, and by patterns that SQL hands down."""

import collections

import pytest
import vitrine_guests as guests

MANY = 120


@pytest.mark.parametrize("backend", ["memfd-shared", "anon"])
def test_each_of_many_is_found(vitrine, boot, backend):
    guest = boot(guests.crowded(guests.GuestConfig(kernel="k61", memory_mib=256, backend=backend), MANY))
    target = f"qemu:{guest.pid}"

    def ask(text):
        return vitrine.rows("sql", target, text)

    crowd = ask("SELECT pid, name, cmdline FROM processes WHERE name GLOB 'crowd-*'")
    assert {row["cmdline"] for row in crowd} == {f"/bin/crowd {i} --of-many" for i in range(1, MANY + 1)}
    assert [row for row in ask("SELECT pid, name, cmdline FROM processes") if row["name"].startswith("crowd-")] == crowd
    assert ask("SELECT pid, name, cmdline FROM processes WHERE +name GLOB 'crowd-*'") == crowd
    for row in crowd[:: MANY // 5]:
        assert ask(f"SELECT pid, name, cmdline FROM processes WHERE pid = {row['pid']}") == [row]

    pids = {row["pid"] for row in crowd}
    files, mapped, variables = (collections.Counter(row["pid"] for row in vitrine.rows("table", table, target) if row["pid"] in pids)
                                for table in ("process_open_files", "process_memory_map", "process_envs"))
    # Standard streams, a file, two ends of a pipe and of a socket pair, an event, an epoll and a list of modules.
    assert set(files.values()) == {11} and set(files) == pids
    # Four parts of each of four libraries, besides the program's own.
    assert set(mapped) == pids and all(20 <= count <= 40 for count in mapped.values())
    assert set(variables.values()) == {4} and set(variables) == pids
