#!/usr/bin/python3
"""Checks which layer includes which, and that nothing below the front ends prints, aborts or asserts.

  tools/check_layers.py [PROJECT]

Exit status: 0 clean, 1 with one line for each violation: FILE:LINE: what.
"""

import pathlib
import re
import sys

# A layer and those it may include, itself aside; include/vitrine/LAYER and src/LAYER belong together.
BELOW = {
    "base": set(),
    "memory": {"base"},
    "machine": {"base", "memory"},
    "types": {"base", "memory", "machine"},
    "symbols": {"base", "memory", "machine"},
    "sources": {"base", "memory", "machine"},
    "guest": {"base", "memory", "machine", "types", "symbols"},
    "os": {"base", "memory", "machine", "types", "symbols", "guest"},
    "query": {"base", "memory", "machine", "types", "symbols", "guest", "os", "sources", "tables"},
    "tables": {"base", "memory", "machine", "types", "symbols", "guest", "os", "sources", "query"},
}
INCLUDE = re.compile(r'\s*#\s*include\s*[<"]([^>"]+)[>"]')
FORBIDDEN = re.compile(r"(?<![\w.>])(?:std::)?(?:v?f?printf|puts|fputs|putchar|perror|abort|assert|terminate|exit)\s*\("
                       r"|\bfmt::print\b|\bstd::(?:cout|cerr|clog)\b|#\s*include\s*<(?:iostream|cassert|assert\.h)>")
COMMENT_OR_STRING = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.DOTALL)


def layer_of(include: str) -> str:
    """The layer of an included file of ours, or ''."""
    first = include.removeprefix("vitrine/").split("/")[0]
    return first if "/" in include and first in BELOW else ""


def check_file(path: pathlib.Path, layer: str, own: pathlib.Path | None = None) -> list:
    """(line number, complaint) pairs. Layer 'frontends' may include the public headers and what lies in its folder `own`."""
    text = path.read_text(encoding="utf-8")
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        match = INCLUDE.match(line)
        if not match:
            continue
        target = layer_of(match[1])
        if layer == "frontends":
            if target and not match[1].startswith("vitrine/") and not (own / match[1]).is_file():
                found.append((number, f"a front end includes {match[1]}: only include/vitrine is for it"))
        elif target and target != layer and target not in BELOW[layer]:
            found.append((number, f"layer {layer} includes {match[1]} of layer {target}"))
    if layer == "frontends":
        return found
    # Comments and strings are blanked, line breaks kept.
    code = COMMENT_OR_STRING.sub(lambda match: re.sub(r"[^\n]", " ", match[0]), text)
    for number, line in enumerate(code.splitlines(), 1):
        match = FORBIDDEN.search(line)
        if match:
            found.append((number, f"{match[0].strip(' (')} below the front ends"))
    return found


def check(project: pathlib.Path) -> list:
    """All violations as lines, and how many files were looked at."""
    lines, files = [], 0
    folders = [(root / layer, layer) for root in (project / "src", project / "include/vitrine") for layer in BELOW]
    folders += [(folder, "frontends") for folder in sorted((project / "frontends").glob("*/"))]
    for folder, layer in folders:
        for path in sorted(folder.rglob("*")):
            if path.suffix in (".h", ".cpp", ".c"):
                files += 1
                lines += [f"{path.relative_to(project)}:{number}: {what}" for number, what in check_file(path, layer, folder)]
    return lines if files else ["no source files found"]


if __name__ == "__main__":
    violations = check(pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parent.parent).resolve())
    print("\n".join(violations) if violations else "layers: clean")
    sys.exit(1 if violations else 0)
