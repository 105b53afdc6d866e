"""The part of the benchmarks that reads a guest of a thousand processes: what SQL over each table costs beside the table's own walk."""
import re

import vitrine_guests as vg

KINDS = {"mapped": "memfd-shared", "anonymous": "anon"}
# Processes besides the workload's own.
MORE = 800
# What is aimed at: SQL beside the plain walk, one process, all tables.
RATIO, ONE_US, ALL_MS = 1.5, 30, 100


def boot(stack, say):
    guests = {}
    for name, backend in KINDS.items():
        say(f"booting a 512 MiB guest of {MORE} more processes, RAM {name} ...")
        config = vg.crowded(vg.GuestConfig(kernel="k61", memory_mib=512, backend=backend, qmp=True), MORE)
        guests[name] = stack.enter_context(vg.Guest.boot(config))
        guests[name].wait_ready()
    return guests


def section(lines, guests, in_process, nanoseconds):
    """in_process(targets, filter): the medians of guest_bench by name; nanoseconds(row)."""
    rows = in_process({name: f"qemu:{guest.name}" for name, guest in guests.items()}, "^(table|sql)_")

    def microseconds(name, kind):
        return nanoseconds(rows[f"{name}/{kind}"]) / 1e3

    tables = [match[1] for match in (re.fullmatch("table_(.*)/mapped", name) for name in rows) if match]
    processes = rows["table_processes/mapped"]["rows"]
    lines += [f"### SQL beside the tables themselves: a guest of {processes:.0f} processes", "",
              "| `SELECT * FROM` | rows | plain walk, mapped RAM, µs | SQL, mapped RAM, µs | SQL / plain | SQL / plain, anonymous RAM |",
              "|---|---|---|---|---|---|"]
    for table in tables:
        plain, sql = (microseconds(f"{what}_{table}", "mapped") for what in ("table", "sql"))
        other = microseconds(f"sql_{table}", "anonymous") / microseconds(f"table_{table}", "anonymous")
        lines.append(f"| {table} | {rows[f'table_{table}/mapped']['rows']:.0f} | {plain:.0f} | {sql:.0f} | {sql / plain:.2f} | {other:.2f} |")
    lines += ["", f"Aimed at: {RATIO} times. The plain walk is the table's generator in the same process, its rows handed to a counter and checked as all",
              "rows of a running guest are: that it is the same kernel still. SQL is the whole statement, from its text to the last row.", "",
              "| | mapped RAM | anonymous RAM | aimed at (mapped) |", "|---|---|---|---|"]
    for label, name, scale, aim in (("`SELECT name FROM processes WHERE pid = 1`, µs", "sql_one_process", 1, ONE_US),
                                    ("every table, one after the other, ms", "sql_all_tables", 1e-3, ALL_MS)):
        values = [microseconds(name, kind) * scale for kind in KINDS]
        lines.append(f"| {label} | {values[0]:.1f} | {values[1]:.1f} | {aim} |")
    lines.append("")
