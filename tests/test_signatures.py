"""Arguments stay few enough to read."""

from __future__ import annotations

import ast
from pathlib import Path

import mgsv

PACKAGE = Path(mgsv.__file__).parent

MOST = 8
"""Parameters of a function, `self` not counted; more than these are one frozen value."""


def parameters(node: ast.FunctionDef | ast.AsyncFunctionDef) -> list[str]:
    given = node.args
    plain = [*given.posonlyargs, *given.args, *given.kwonlyargs]
    starred = [one for one in (given.vararg, given.kwarg) if one is not None]
    return [one.arg for one in (*plain, *starred) if one.arg not in ("self", "cls")]


def test_no_function_has_more_than_eight_parameters() -> None:
    """But for commands, where each is a flag."""
    long = [
        f"{path.relative_to(PACKAGE)}: {node.name}"
        for path in sorted(PACKAGE.rglob("*.py"))
        if path.relative_to(PACKAGE).parts[0] != "cli"
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        if len(parameters(node)) > MOST
    ]
    assert long == []
