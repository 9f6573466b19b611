"""A template's text as a tree of nodes."""

import re

_TAG = re.compile(r"({{.*?}}|{%.*?%}|{#.*?#})", re.DOTALL)


class StencilError(ValueError):
    """A template that is not in the form, or a value that is not there; `line` is where, from 1."""

    def __init__(self, message, line):
        super().__init__(f"line {line}: {message}")
        self.line = line


class Node:
    """`kind` is `text`, `value`, `if` or `for`; `body` and `other` (after `else`) hold nodes."""

    def __init__(self, kind, content, line):
        self.kind = kind
        self.content = content
        self.line = line
        self.body = []
        self.other = []
        self.in_other = False

    def add(self, node):
        (self.other if self.in_other else self.body).append(node)


def parse(text):
    """The nodes of a template."""
    root = Node("root", "", 1)
    open_nodes = [root]
    line = 1
    for part in _TAG.split(text):
        inner = part[2:-2].strip()
        if part.startswith("{{"):
            open_nodes[-1].add(Node("value", inner, line))
        elif part.startswith("{%"):
            _take_tag(inner, open_nodes, line)
        elif part and not part.startswith("{#"):
            open_nodes[-1].add(Node("text", part, line))
        line += part.count("\n")
    if len(open_nodes) > 1:
        raise StencilError(f"`{open_nodes[-1].kind}` is not ended", open_nodes[-1].line)
    return root.body


def _take_tag(inner, open_nodes, line):
    word, _, rest = inner.partition(" ")
    if word in ("if", "for"):
        node = Node(word, rest.strip(), line)
        open_nodes[-1].add(node)
        open_nodes.append(node)
    elif word == "else":
        node = open_nodes[-1]
        if node.kind not in ("if", "for") or node.in_other:
            raise StencilError("`else` without `if` or `for`", line)
        node.in_other = True
    elif word == "end":
        if len(open_nodes) == 1:
            raise StencilError("`end` without a beginning", line)
        open_nodes.pop()
    else:
        raise StencilError(f"no tag `{word}`", line)
