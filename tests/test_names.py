"""One name for one thing over the whole package."""

from __future__ import annotations

import ast
from collections import defaultdict
from pathlib import Path

import mgsv

PACKAGE = Path(mgsv.__file__).parent

SAME_JOB = {
    "VideoScan": "media/isolated.py has those of other modules of media, in a process of their own",
    "render": "what `mgsv` offers for a grounding is that of media with its track and moment",
    "arrange": "likewise",
    "write_timeline": "likewise",
}
"""Names that two modules share since one stands on the other, and why."""


def is_command(node: ast.ClassDef | ast.FunctionDef) -> bool:
    """Whether click makes a command of it, whose name a user types."""
    makers = (one.func for one in node.decorator_list if isinstance(one, ast.Call))
    return any(isinstance(f, ast.Attribute) and f.attr in ("command", "group") for f in makers)


def test_no_public_class_or_function_shares_its_name() -> None:
    defined: defaultdict[str, list[str]] = defaultdict(list)
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if not isinstance(node, ast.ClassDef | ast.FunctionDef):
                continue
            if not (node.name.startswith("_") or is_command(node)):
                defined[node.name].append(path.relative_to(PACKAGE).as_posix())
    shared = {name: modules for name, modules in defined.items() if len(modules) > 1}
    assert {name: modules for name, modules in shared.items() if name not in SAME_JOB} == {}
    assert shared.keys() == SAME_JOB.keys(), "an exception that is none any more"
