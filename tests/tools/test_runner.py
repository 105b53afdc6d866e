"""The test runner counts right, whatever its stages do."""

import argparse
import pathlib
import sys
import time

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tools"))

from testing import cases, processes, runner, stages  # noqa: E402  pylint: disable=wrong-import-position
from testing.cases import FAILED, PASSED, SKIPPED, Case  # noqa: E402  pylint: disable=wrong-import-position

CTEST = """<testsuite tests="5" failures="1">
 <testcase name="A.ok" classname="A.ok" status="run"><system-out/></testcase>
 <testcase name="A.bad" classname="A.bad" status="fail"><failure message="Failed"/></testcase>
 <testcase name="A.skips" classname="A.skips" status="notrun"><skipped message="SKIP_REGULAR_EXPRESSION_MATCHED"/>
  <system-out>a_test.cpp:7: Skipped
no such file here
</system-out></testcase>
 <testcase name="A.off" classname="A.off" status="disabled"/>
 <testcase name="A.crashed" classname="A.crashed" status="fail"/>
</testsuite>"""

PYTEST = """<testsuites><testsuite>
 <testcase classname="tests.live.test_x" name="test_a"/>
 <testcase classname="tests.live.test_x" name="test_b"><error message="failed on setup">...</error></testcase>
 <testcase classname="tests.live.test_x" name="test_c"><skipped type="pytest.skip" message="kernel k7: gone"/></testcase>
</testsuite></testsuites>"""


def parse(tmp_path, text):
    path = tmp_path / "report.xml"
    path.write_text(text, encoding="utf-8")
    return cases.from_junit(path)


def test_ctest_report(tmp_path):
    found = parse(tmp_path, CTEST)
    assert [case.outcome for case in found] == [PASSED, FAILED, SKIPPED, SKIPPED, FAILED]
    assert found[2] == Case("A.skips", SKIPPED, "no such file here")
    assert cases.closing_line(found) == "1 passed, 2 failed, 2 skipped"


def test_pytest_report(tmp_path):
    found = parse(tmp_path, PYTEST)
    assert found == [Case("live.test_x::test_a", PASSED), Case("live.test_x::test_b", FAILED, "failed on setup"),
                     Case("live.test_x::test_c", SKIPPED, "kernel k7: gone")]


def run_with(monkeypatch, tmp_path, capsys, plans):
    monkeypatch.setattr(runner, "PLANS", plans)
    monkeypatch.setattr(runner, "BRINGS", {})
    monkeypatch.setattr(runner, "LOGS", tmp_path)
    monkeypatch.setattr(runner, "PROJECT", tmp_path.parent)
    # Its finish() would take the other children of this test program for strays.
    monkeypatch.setattr(processes.Children, "finish", lambda self: [])
    options = argparse.Namespace(sequential=False, fuzz_seconds=1, keep_corpus=False)
    status = runner.Run(list(plans), options).run()
    return status, capsys.readouterr().out.rstrip("\n").splitlines()


def stage_of(*outcomes):
    def stage(_):
        """A stage."""
        return [Case(f"case {number}", outcome) for number, outcome in enumerate(outcomes)]
    return stage


def test_all_passing(monkeypatch, tmp_path, capsys):
    plans = {"a": runner.Plan(stage_of(PASSED, PASSED), 0), "b": runner.Plan(stage_of(PASSED, SKIPPED), 1)}
    status, lines = run_with(monkeypatch, tmp_path, capsys, plans)
    assert (status, lines[-1]) == (0, "3 passed, 0 failed, 1 skipped")
    assert sum(line == lines[-1] for line in lines) == 1
    assert "  b: case 1" in lines  # what was skipped is named


def test_a_failure_fails_the_run(monkeypatch, tmp_path, capsys):
    status, lines = run_with(monkeypatch, tmp_path, capsys, {"a": runner.Plan(stage_of(PASSED, FAILED), 0)})
    assert (status, lines[-1]) == (1, "1 passed, 1 failed, 0 skipped")


def test_a_stage_without_tests_fails(monkeypatch, tmp_path, capsys):
    status, lines = run_with(monkeypatch, tmp_path, capsys, {"a": runner.Plan(stage_of(), 0)})
    assert (status, lines[-1]) == (1, "0 passed, 1 failed, 0 skipped")


def test_a_defect_of_a_stage_fails(monkeypatch, tmp_path, capsys):
    def broken(_):
        """A stage."""
        raise ValueError("no")
    status, lines = run_with(monkeypatch, tmp_path, capsys, {"a": runner.Plan(broken, 0)})
    assert (status, lines[-1]) == (1, "0 passed, 1 failed, 0 skipped")


def test_what_needs_a_failed_stage_is_not_run(monkeypatch, tmp_path, capsys):
    plans = {"a": runner.Plan(stage_of(FAILED), 0), "b": runner.Plan(stage_of(PASSED), 1, ("a",)),
             "c": runner.Plan(stage_of(PASSED), 1, (), ("a",))}
    status, lines = run_with(monkeypatch, tmp_path, capsys, plans)
    assert (status, lines[-1]) == (1, "1 passed, 2 failed, 0 skipped")


def test_why_a_case_failed_is_shown_first(monkeypatch, tmp_path, capsys):
    def stage(_):
        """A stage."""
        return [Case("good", PASSED), Case("bad", FAILED, "Failed", "a_test.cpp:7: Failure\nexpected 1, got 2")]
    _, lines = run_with(monkeypatch, tmp_path, capsys, {"a": runner.Plan(stage, 0)})
    at = lines.index("    FAILED bad:")
    assert lines[at + 1:at + 3] == ["    | a_test.cpp:7: Failure", "    | expected 1, got 2"]
    assert any("the end of" in line for line in lines[at:])


def test_output_of_failures_is_kept(tmp_path):
    report = PYTEST.replace("...</error>", "E  assert 1 == 2</error><system-out>printed</system-out>")
    assert [case.output for case in parse(tmp_path, report)] == ["", "E  assert 1 == 2\nprinted", ""]


def test_the_test_that_ran_too_long_is_named(tmp_path):
    (tmp_path / "test_slow.py").write_text("import time\n\ndef test_quick():\n    pass\n\n"
                                           "def test_slow():\n    time.sleep(60)\n", encoding="utf-8")
    stage = stages.Stage("slow", processes.Children(), argparse.Namespace(), tmp_path, 0)
    found = stage.pytest(tmp_path / "test_slow.py", timeout=3)
    assert found[-1].outcome == FAILED and "::test_slow was running" in found[-1].reason, found
    assert any(case.name.endswith("test_quick") and case.outcome == PASSED for case in found)


def test_a_command_that_hangs_is_ended(tmp_path):
    children = processes.Children()
    began = time.monotonic()
    with open(tmp_path / "log", "wb") as log:
        assert children.run(["sleep", "60"], log, 0.2) == 124
    assert time.monotonic() - began < 20
    assert b"not done after" in (tmp_path / "log").read_bytes()


@pytest.mark.parametrize("status", [0, 3])
def test_exit_status(tmp_path, status):
    with open(tmp_path / "log", "wb") as log:
        assert processes.Children().run(["sh", "-c", f"exit {status}"], log, 10) == status
