"""Small mistakes such as people make, put into correct Python: each one a change of whole lines."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass

COMPARISONS = {"<": "<=", "<=": "<", ">": ">=", ">=": ">", "==": "!=", "!=": "==", "is not": "is", "is": "is not"}
COMPARISONS |= {"in": "not in", "not in": "in"}
ARITHMETIC = {"+": "-", "-": "+", "*": "+", "//": "%", "%": "//", "/": "*"}
SWAPPED = {"min": "max", "max": "min", "any": "all", "all": "any", "lstrip": "rstrip", "rstrip": "lstrip"}
SWAPPED |= {"startswith": "endswith", "endswith": "startswith", "partition": "rpartition", "rpartition": "partition"}


@dataclass(frozen=True)
class Mutation:
    """One change, as whole lines that stand once in the file before and after."""

    kind: str
    line: int
    correct: str
    buggy: str


@dataclass(frozen=True)
class _Edit:
    kind: str
    start: int
    end: int
    text: str


def mutations(source: str) -> list[Mutation]:
    """All mutations of a module that still parse, in order of place."""
    found = []
    for edit in sorted(_edits(source), key=lambda edit: (edit.start, edit.kind)):
        mutation = _as_lines(source, edit)
        if mutation is not None and mutation not in found:
            found.append(mutation)
    return found


def _edits(source: str) -> Iterator[_Edit]:
    offsets = _Offsets(source)
    docstrings = {id(node.value) for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Expr)}
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Compare) and len(node.ops) == 1:
            yield from _operator(offsets, node.left, node.comparators[0], COMPARISONS, "comparison")
        elif isinstance(node, ast.BinOp):
            yield from _operator(offsets, node.left, node.right, ARITHMETIC, "arithmetic")
        elif isinstance(node, ast.BoolOp) and len(node.values) == 2:
            left, right = node.values
            yield from _operator(offsets, left, right, {"and": "or", "or": "and"}, "boolean")
        elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            yield _Edit("negation", offsets.start(node), offsets.start(node.operand), "")
        elif isinstance(node, ast.Constant) and type(node.value) is int and id(node) not in docstrings:
            yield _Edit("constant", offsets.start(node), offsets.end(node), str(node.value + 1))
        elif isinstance(node, ast.Constant) and type(node.value) is bool:
            yield _Edit("constant", offsets.start(node), offsets.end(node), str(not node.value))
        elif isinstance(node, ast.Name) and node.id in SWAPPED:
            yield _Edit("function", offsets.start(node), offsets.end(node), SWAPPED[node.id])
        elif isinstance(node, ast.Attribute) and node.attr in SWAPPED:
            yield _Edit("function", offsets.end(node) - len(node.attr), offsets.end(node), SWAPPED[node.attr])
        elif isinstance(node, ast.AugAssign | ast.Continue) or (
            isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)
        ):
            yield _Edit("statement", offsets.start(node), offsets.end(node), "pass")


def _operator(offsets: _Offsets, left: ast.expr, right: ast.expr, swaps: dict[str, str], kind: str) -> Iterator[_Edit]:
    """Swap the operator between two operands, where nothing but spaces and brackets stands there beside it."""
    start, end = offsets.end(left), offsets.start(right)
    between = re.fullmatch(r"([)\s]*)([a-z<>=!+\-*/%][a-z<>=!+\-*/% ]*?)([(\s]*)", offsets.source[start:end])
    if between is not None and between[2] in swaps:
        yield _Edit(kind, start + between.start(2), start + between.end(2), swaps[between[2]])


def _as_lines(source: str, edit: _Edit) -> Mutation | None:
    """The edit with the lines that it stands in, and as many before as make them unique."""
    changed = source[: edit.start] + edit.text + source[edit.end :]
    try:
        ast.parse(changed)
    except SyntaxError:
        return None
    first = source.rfind("\n", 0, edit.start) + 1
    last = source.find("\n", edit.end) + 1 or len(source)
    grown = len(changed) - len(source)
    while source.count(source[first:last]) != 1 or changed.count(changed[first : last + grown]) != 1:
        if first == 0:
            return None
        first = source.rfind("\n", 0, first - 1) + 1
    line = source.count("\n", 0, edit.start) + 1
    return Mutation(edit.kind, line, source[first:last], changed[first : last + grown])


class _Offsets:
    """Places of a syntax tree as positions in the text."""

    def __init__(self, source: str) -> None:
        self.source = source
        self._lines = source.splitlines(keepends=True)
        self._starts = [0]
        for line in self._lines:
            self._starts.append(self._starts[-1] + len(line))

    def start(self, node: ast.AST) -> int:
        return self._at(node.lineno, node.col_offset)  # type: ignore[attr-defined]

    def end(self, node: ast.AST) -> int:
        return self._at(node.end_lineno, node.end_col_offset)  # type: ignore[attr-defined]

    def _at(self, line: int, column: int) -> int:
        """Columns count bytes of UTF-8."""
        return self._starts[line - 1] + len(self._lines[line - 1].encode()[:column].decode())
