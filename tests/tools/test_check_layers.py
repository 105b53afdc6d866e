"""The layer check finds what it is there to find."""

import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tools"))

import check_layers  # noqa: E402  pylint: disable=wrong-import-position


def write(root: pathlib.Path, name: str, text: str) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


@pytest.mark.parametrize("name, text", [
    ("src/base/a.cpp", '#include "vitrine/memory/paging.h"\n'),
    ("include/vitrine/memory/a.h", '#include "vitrine/guest/guest.h"\n'),
    ("src/types/a.cpp", '#include "symbols/kallsyms/reader.h"\n'),
    ("src/sources/a.cpp", '#include "vitrine/guest/guest.h"\n'),
    ("src/os/linux/a.cpp", '#include "sources/qmp/qmp_client.h"\n'),
    ("frontends/cli/a.cpp", '#include "os/linux/layout.h"\n'),
    ("src/memory/a.cpp", 'void f() { printf("x"); }\n'),
    ("src/memory/a.cpp", 'void f() { std::fprintf(stderr, "x"); }\n'),
    ("src/os/a.cpp", "void f() { std::cout << 1; }\n"),
    ("src/os/a.cpp", "#include <cassert>\n"),
    ("src/symbols/a.cpp", "void f() {\n  assert(true);\n}\n"),
    ("src/tables/linux/a.cpp", "void f() { std::abort(); }\n"),
])
def test_violation_is_found(tmp_path, name, text):
    write(tmp_path, name, text)
    found = check_layers.check(tmp_path)
    assert len(found) == 1, found
    assert found[0].startswith(f"{name}:")


@pytest.mark.parametrize("name, text", [
    ("src/memory/a.cpp", '#include "vitrine/base/result.h"\n#include "memory/page_walk.h"\n#include <cstdint>\n'),
    ("src/query/a.cpp", '#include "vitrine/guest/guest.h"\n#include "sources/x/y.h"\n'),
    ("src/base/a.cpp", '// printf("no")\nconst char* text = "abort()";\nstatic_assert(true);\nint snprintf_like(int);\n'),
    ("frontends/cli/a.cpp", '#include "vitrine/query/table.h"\nvoid f() { printf("x"); }\n'),
])
def test_rule_abiding_file_passes(tmp_path, name, text):
    write(tmp_path, name, text)
    assert check_layers.check(tmp_path) == []


def test_a_front_end_may_include_its_own_files(tmp_path):
    write(tmp_path, "frontends/cli/query/query.h", "#pragma once\n")
    write(tmp_path, "frontends/cli/a.cpp", '#include "query/query.h"\n')
    assert check_layers.check(tmp_path) == []


def test_an_empty_project_is_no_success(tmp_path):
    assert check_layers.check(tmp_path) != []
