"""Views answer as their SQL does, on images; the user's own views are commands like all others."""

import json
import pathlib
import re

import pytest
from conftest import PROJECT

USAGE = 2
VIEWS = sorted(path.stem for path in (pathlib.Path(PROJECT) / "views").glob("*.sql"))


def header(name, key):
    """The values of one key in a view's file."""
    text = (pathlib.Path(PROJECT) / "views" / f"{name}.sql").read_text(encoding="utf-8")
    return re.findall(rf"^-- @{key} (.*)$", text, re.MULTILINE)


def has(vitrine, name):
    """Whether the program has the view: it has none whose table it lacks."""
    return name in {row["name"] for row in vitrine.rows("views")}


@pytest.mark.guests("k61")
@pytest.mark.parametrize("name", VIEWS)
def test_same_as_its_sql(vitrine, images, name):
    assert has(vitrine, name), f"there is no table for {name}"
    target = images.elf if name == "vcpus" else images.raw
    sql = json.loads(vitrine.ok("views", "--sql", name, "--format", "json").stdout)[0]["sql"]
    table = re.fullmatch(r"SELECT \* FROM (\w+)", sql)
    order = header(name, "sort")
    rows = vitrine.rows(name, target)
    if table:
        expected = vitrine.rows("table", table[1], target, *(["--sort", order[0]] if order else []))
        assert rows == expected
        assert list(rows[0]) == [column["name"] for column in vitrine.rows("schema", table[1])[0]["columns"]]
    shown = vitrine.ok(name, target).stdout.decode().splitlines()
    assert len(shown) == len(rows) + 1
    wanted = [column.strip() for column in header(name, "columns")[0].split(",")]
    assert shown[0].split() == wanted


@pytest.mark.guests("k61")
def test_options_choose_rows(vitrine, images):
    rows = vitrine.rows("ps", images.raw)
    assert vitrine.rows("ps", images.raw, "--pid", "1") == [row for row in rows if row["pid"] == 1]
    assert vitrine.rows("ps", images.raw, "--uid", "0") == [row for row in rows if row["uid"] == 0]
    kernel = vitrine.rows("ps", images.raw, "--name", "k[!w]*")
    assert kernel == [row for row in rows if re.match("k[^w]", row["name"], re.DOTALL)] and kernel
    threads = vitrine.rows("threads", images.raw)
    assert vitrine.rows("threads", images.raw, "--pid", "1") == [row for row in threads if row["pid"] == 1]
    falling = vitrine.rows("ps", images.raw, "--sort", "start_ns:desc")
    assert [row["start_ns"] for row in falling] == sorted((row["start_ns"] for row in rows), reverse=True)
    by_task = [int(row["task"], 16) for row in vitrine.rows("ps", images.raw, "--sort", "task")]
    assert by_task == sorted(by_task)


@pytest.mark.guests("k61")
def test_names_stand_in_brackets_in_tables_only(vitrine, images):
    rows = {row["pid"]: row for row in vitrine.rows("ps", images.raw)}
    lines = vitrine.ok("ps", images.raw, "--pid", "2", "--no-header").stdout.decode().splitlines()
    assert rows[2]["cmdline"] is None and lines[0].rstrip().endswith("[kthreadd]")


@pytest.mark.guests("k61")
def test_own_view(vitrine, images, tmp_path):
    folder = tmp_path / "vitrine" / "views"
    folder.mkdir(parents=True)
    (folder / "users.sql").write_text("-- @summary Processes by user\n-- @option --least number N: only users of so many\n"
                                      "-- @where processes >= :least\n-- @sort processes:desc\n"
                                      "SELECT uid, count(*) AS processes FROM processes GROUP BY uid\n", encoding="utf-8")
    (folder / "broken.sql").write_text("-- @summary x\n-- @nonsense\nSELECT 1\n", encoding="utf-8")

    def run(*arguments):
        return vitrine(*arguments, env={"XDG_CONFIG_HOME": str(tmp_path)})

    counted = {}
    for row in vitrine.rows("ps", images.raw):
        counted[row["uid"]] = counted.get(row["uid"], 0) + 1
    rows = json.loads(run("users", images.raw, "--format", "json").stdout)
    assert {row["uid"]: row["processes"] for row in rows} == counted
    assert [row["processes"] for row in rows] == sorted(counted.values(), reverse=True)
    few = json.loads(run("users", images.raw, "--least", "3", "--format", "json").stdout)
    assert {row["uid"] for row in few} == {uid for uid, count in counted.items() if count >= 3}
    assert b"Processes by user" in run("--help").stdout
    broken = run("broken", images.raw)
    assert broken.returncode == USAGE and f"{folder}/broken.sql:2: ".encode() in broken.stderr
    assert run("ps", images.raw).stderr == b""


def test_pages_of_the_tables_are_current(vitrine, tmp_path):
    vitrine.ok("document", "tables", tmp_path)
    made = {path.name: path.read_text(encoding="utf-8") for path in tmp_path.iterdir()}
    kept = {path.name: path.read_text(encoding="utf-8") for path in (pathlib.Path(PROJECT) / "docs" / "tables").iterdir()}
    assert made == kept, "build the target docs_commands"


def test_schema_is_complete(vitrine):
    objects = vitrine.rows("schema")
    tables = [item for item in objects if item["kind"] == "table"]
    assert {"processes", "symbols", "vcpus"} <= {table["name"] for table in tables}
    for table in tables:
        assert table["columns"] and table["guests"] and table["examples"]
        for column in table["columns"]:
            assert set(column) == {"name", "type", "unit", "index", "description"}
        assert vitrine.rows("schema", table["name"]) == [table]
    assert {item["name"] for item in objects if item["kind"] == "function"} >= {"addr", "sym"}
    assert vitrine.ok("schema", "--format", "markdown").stdout.startswith(b"# Tables\n")
