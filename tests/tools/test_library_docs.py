"""docs/library.md shows code of the examples, which the tests compile."""

import pathlib
import re

PROJECT = pathlib.Path(__file__).resolve().parents[2]


def test_every_piece_of_code_is_of_an_example():
    text = (PROJECT / "docs/library.md").read_text(encoding="utf-8")
    sources = [path.read_text(encoding="utf-8") for path in (PROJECT / "examples").glob("*.cpp")]
    pieces = re.findall(r"^```cpp\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert len(pieces) >= 6
    for piece in pieces:
        assert any(piece in source for source in sources), piece


def test_every_header_named_is_there():
    text = (PROJECT / "docs/library.md").read_text(encoding="utf-8")
    table = [line for line in text.splitlines() if line.startswith("| `vitrine/")]
    assert len(table) >= 6
    for line in table:
        folder = ""
        for name in re.findall(r"`([a-z_/]+\.h)`", line):
            folder = name.rpartition("/")[0] or folder
            assert (PROJECT / "include" / folder / name.rpartition("/")[2]).is_file(), name
