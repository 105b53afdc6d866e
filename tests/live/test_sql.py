"""vitrine sql on images of real guests: answers, formats, several guests, failures, and the examples of docs/sql.md."""

import csv
import io
import json
import re
import subprocess
import time

import pytest
from conftest import PROJECT

OK, USAGE, UNREACHABLE, PARTIAL = 0, 2, 3, 5
RUNAWAY = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM c) SELECT count(*) FROM c"
EXAMPLES = re.findall(r"```sql\n(.*?)```", (PROJECT / "docs/sql.md").read_text(encoding="utf-8"), re.DOTALL)

image_of_61 = pytest.mark.guests("k61")


@image_of_61
def test_answers_are_those_of_the_tables(vitrine, images):
    rows = vitrine.rows("sql", images.raw, "SELECT pid, name, task FROM processes ORDER BY pid")
    listed = vitrine.rows("ps", images.raw, "--columns", "pid,name,task", "--sort", "pid")
    assert rows == listed and len(rows) > 10
    assert all(re.fullmatch("0x[0-9a-f]{16}", row["task"]) for row in rows)
    whole = vitrine.rows("sql", images.raw, "SELECT * FROM processes")
    assert set(whole[0]) == set(vitrine.rows("table", "processes", images.raw)[0]), "vm is hidden"


@image_of_61
def test_csv_and_standard_input(vitrine, images):
    done = subprocess.run([str(vitrine.path), "sql", str(images.raw), "--format", "csv"], capture_output=True, timeout=60,
                          input=b"SELECT pid, task FROM processes WHERE pid < 3;", env=vitrine.environment(), check=True)
    rows = list(csv.DictReader(io.StringIO(done.stdout.decode())))
    assert [row["pid"] for row in rows] == ["1", "2"] and rows[0]["task"].startswith("0xffff")


@image_of_61
def test_functions_of_addresses(vitrine, images):
    query = ("SELECT sym(address) AS sym, addr_lt(address, -1) AS below, address < 0 AS signed, addr(addr(address)) = address AS same "
             "FROM symbols WHERE name = 'linux_banner'")
    assert vitrine.rows("sql", images.raw, query) == [{"sym": "linux_banner", "below": 1, "signed": 1, "same": 1}]


@image_of_61
def test_several_guests_are_one_database(vitrine, images):
    query = "SELECT vm, count(*) AS n FROM processes GROUP BY vm ORDER BY vm"
    rows = vitrine.rows("sql", images.raw, images.elf, query)
    assert [row["vm"] for row in rows] == [images.elf.name, images.raw.name]
    assert rows[0]["n"] == rows[1]["n"] > 10, "two forms of one moment"
    assert vitrine("sql", images.raw, images.raw, query).returncode == USAGE


@image_of_61
@pytest.mark.parametrize("query, hint", [("SELECT pdi FROM processes", "did you mean pid?"),
                                         ("SELECT * FROM proceses", "did you mean processes?"),
                                         ("SELECT * FORM processes", "did you mean FROM?"),
                                         ("DELETE FROM processes", "vitrine schema"),
                                         ("PRAGMA database_list", "vitrine schema"),
                                         ("ATTACH '/tmp/x' AS x", "vitrine schema")])
def test_what_sqlite_refuses(vitrine, images, query, hint):
    done = vitrine("sql", images.raw, query)
    assert done.returncode == USAGE and done.stdout == b""
    assert hint in done.stderr.decode(), done.stderr.decode()


@image_of_61
def test_limits(vitrine, images):
    began = time.monotonic()
    done = vitrine("sql", images.raw, RUNAWAY, "--timeout", "1", "--format", "json")
    assert done.returncode == PARTIAL and b"--timeout" in done.stderr
    assert time.monotonic() - began < 20
    done = vitrine("sql", images.raw, "SELECT pid FROM processes", "--max-rows", "3", "--format", "json")
    assert done.returncode == PARTIAL and done.stdout.count(b"pid") == 3
    with pytest.raises(json.JSONDecodeError):
        json.loads(done.stdout)


@image_of_61
def test_says_how_it_was_read(vitrine, images):
    done = vitrine.ok("sql", images.raw, "SELECT pid FROM processes WHERE pid = 1", "-v", "--strict")
    assert re.search(rb"^1 row in [\d.]+ ms; complete; image; \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC$", done.stderr, re.M), done.stderr
    assert vitrine.ok("sql", images.raw, "SELECT 1").stderr == b"", "nobody looks"


@image_of_61
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda text: text.split("FROM ")[1].split()[0].rstrip(";"))
def test_examples_of_the_documentation(vitrine, images, example):
    done = vitrine.ok("sql", images.raw, example, "--format", "ndjson", "--strict")
    assert done.stdout.count(b"\n") >= 1
    assert vitrine.ok("sql", images.raw, example).stdout


def test_there_are_examples():
    assert len(EXAMPLES) >= 6


@pytest.mark.guests("k61")
def test_a_running_guest_stands_still_if_wanted(vitrine, target):
    query = "SELECT count(*) AS n, (SELECT count(*) FROM process_threads) AS threads FROM processes"
    done = vitrine.ok("sql", target, query, "--paused", "--format", "json", "-v")
    row = json.loads(done.stdout)[0]
    assert row["threads"] >= row["n"] > 10
    assert re.search(rb"the guest was paused for \d+ ", done.stderr) and b"paused guest" in done.stderr
    assert b"one after the other" not in done.stderr
    assert b"one after the other" in vitrine.ok("sql", target, query, "-v").stderr
