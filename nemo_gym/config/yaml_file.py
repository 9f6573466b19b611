"""A YAML file read with all its mistakes: syntax with its line, keys given twice, a top level that is no mapping."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from nemo_gym.config.key_path import KeyPath, dotted
from nemo_gym.errors import ConfigProblem


class _Loader(yaml.SafeLoader):
    """YAML as OmegaConf reads it: `1e-3` is a number, a date is text."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_FLOAT = re.compile(
    r"""^(?:[-+]?(?:[0-9][0-9_]*)\.[0-9_]*(?:[eE][-+]?[0-9]+)?
        |[-+]?(?:[0-9][0-9_]*)(?:[eE][-+]?[0-9]+)
        |[-+]?\.[0-9][0-9_]*(?:[eE][-+]?[0-9]+)?
        |[-+]?\.(?:inf|Inf|INF)
        |\.(?:nan|NaN|NAN))$""",
    re.VERBOSE,
)
_Loader.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, list("-+0123456789."))


_TEXT_TAG = "tag:yaml.org,2002:str"
_MERGE_TAG = "tag:yaml.org,2002:merge"
_PLAIN_TAGS = frozenset(f"tag:yaml.org,2002:{tag}" for tag in ("str", "int", "float", "bool", "null", "seq", "map"))


def read_yaml(path: Path, name: str) -> tuple[dict[str, Any], list[ConfigProblem]]:
    """The mapping in the file, and what is wrong with it. `name` stands for the file in the problems.

    With problems the mapping may be empty. An empty file is an empty mapping.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        return {}, [ConfigProblem(name, "", f"cannot be read: {error.strerror or error}")]
    except UnicodeDecodeError as error:
        return {}, [ConfigProblem(name, "", f"is no UTF-8 text (byte {error.start})")]
    try:
        return _parse(text, name)
    except yaml.MarkedYAMLError as error:
        return {}, [_syntax_problem(error, text, name)]
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        return {}, [ConfigProblem(name, "", f"line {line}: holds a control character, which YAML forbids")]
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        return {}, [ConfigProblem(name, "", f"is no valid YAML: {str(error).splitlines()[0]}")]


def _parse(text: str, name: str) -> tuple[dict[str, Any], list[ConfigProblem]]:
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return {}, []
        if not isinstance(node, yaml.MappingNode):
            return {}, [ConfigProblem(name, "", "must be a mapping of keys to values at its top level")]
        problems = _key_problems(node, name)
        if problems:
            return {}, problems
        values = loader.construct_document(node)
    finally:
        loader.dispose()
    assert isinstance(values, dict)
    return values, []


def _key_problems(root: yaml.Node, name: str) -> list[ConfigProblem]:
    """Keys that are given twice or are no text, tags beyond plain YAML, an anchor that holds itself.

    Makes every key text on the way: `1: x` has the key `"1"`, and `on: x` has `"on"`, not `True`.
    """
    problems: list[ConfigProblem] = []
    finished: set[int] = set()
    open_nodes: set[int] = set()

    def report(node: yaml.Node, path: KeyPath, message: str) -> None:
        problems.append(ConfigProblem(name, dotted(path), f"line {node.start_mark.line + 1}: {message}"))

    def visit(node: yaml.Node, path: KeyPath) -> None:
        if id(node) in open_nodes:
            report(node, path, "this anchor holds itself")
        if id(node) in finished or id(node) in open_nodes:
            return
        if node.tag not in _PLAIN_TAGS:
            report(node, path, f"the tag `{node.tag}` is not allowed here; write plain YAML")
        open_nodes.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            for index, child in enumerate(node.value):
                visit(child, (*path, index))
        elif isinstance(node, yaml.MappingNode):
            visit_keys(node, path)
        open_nodes.discard(id(node))
        finished.add(id(node))

    def visit_keys(node: yaml.MappingNode, path: KeyPath) -> None:
        lines: dict[str, int] = {}
        for key_node, child in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                report(key_node, path, "a key must be text; a value that starts with `{` or `[` needs quotes")
                continue
            key, line = str(key_node.value), key_node.start_mark.line + 1
            if key_node.tag != _MERGE_TAG:
                key_node.tag = _TEXT_TAG
                if key in lines:
                    message = f"is given twice, on lines {lines[key]} and {line}; keep one"
                    problems.append(ConfigProblem(name, dotted((*path, key)), message))
                lines.setdefault(key, line)
            visit(child, (*path, key))

    visit(root, ())
    return problems


def _syntax_problem(error: yaml.MarkedYAMLError, text: str, name: str) -> ConfigProblem:
    mark = error.problem_mark or error.context_mark
    if mark is None:
        return ConfigProblem(name, "", f"is no valid YAML: {error.problem}")
    if "<stream end>" in str(error.problem) or "unexpected end of stream" in str(error.problem):
        opened = f"what opens on line {error.context_mark.line + 1}" if error.context_mark else "a bracket or quote"
        return ConfigProblem(name, "", f"line {len(text.splitlines())}: the file ends before {opened} is closed")
    line = mark.line + 1
    what = error.problem or "cannot be read"
    if "'\\t'" in what:
        what = "a tab indents this line; YAML wants spaces"
    elif "mapping values are not allowed" in what:
        what = "a second `: ` on one line, or an indent that does not fit; put text that holds `: ` in quotes"
    elif "found '?'" in what:
        what = "`???` needs quotes inside `{…}` and `[…]`"
    elif error.context:
        what = f"{error.context}: {what}"
    return ConfigProblem(name, "", f"line {line}, column {mark.column + 1}: {what}")
