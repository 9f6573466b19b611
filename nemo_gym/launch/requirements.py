"""A server's `requirements.txt`: what it asks for, and whether the running environment has that already."""

from __future__ import annotations

import importlib.metadata
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

SELF = "nemo-gym"
_COMMENT = re.compile(r"(^|\s)#.*$")
_EDITABLE = re.compile(r"^(-e|--editable)[\s=]+")
_INCLUDE = re.compile(r"^(-r|--requirement)[\s=]*(?P<path>.+)$")

_CONSTRAINTS = re.compile(r"^(-c|--constraint)[\s=]*(?P<path>.+)$")


@dataclass(frozen=True)
class RequirementsFile:
    """One file with those that it includes by `-r`."""

    path: Path
    lines: tuple[str, ...]
    """As pip takes them, in order; comments, and lines that mean this package itself, left out."""

    @classmethod
    def read(cls, path: Path) -> RequirementsFile:
        """Raises OSError."""
        return cls(path, tuple(_lines(path, frozenset())))

    def unmet(self) -> list[str]:
        """Lines that the running environment does not satisfy, or of which that cannot be told."""
        return [line for line in self.lines if not line.startswith("-") and not _is_met(line)] + [
            line for line in self.lines if _EDITABLE.match(line)
        ]


def _lines(path: Path, seen: frozenset[Path]) -> Iterator[str]:
    text = path.read_text(encoding="utf-8").replace("\\\n", " ")
    for raw in text.splitlines():
        line = _COMMENT.sub("", raw).strip()
        include, constraints = _INCLUDE.match(line), _CONSTRAINTS.match(line)
        if include:
            included = (path.parent / include["path"]).resolve()
            if included not in seen:
                yield from _lines(included, seen | {path.resolve(), included})
        elif constraints:
            yield f"-c {(path.parent / constraints['path']).resolve()}"
        elif line and not _means_ourselves(line, path.parent):
            yield line


def _means_ourselves(line: str, folder: Path) -> bool:
    """`nemo-gym`, `-e nemo-gym[dev] @ ../../`, `-e ../..`."""
    target = _EDITABLE.sub("", line)
    name = re.match(r"[A-Za-z0-9._-]+", target)
    if name is not None and canonicalize_name(name[0]) == SELF:
        return True
    if not target.startswith(("./", "../", "/", ".")):
        return False
    project = folder / target.split("[")[0] / "pyproject.toml"
    return project.is_file() and f'name = "{SELF}"' in project.read_text(encoding="utf-8")


def _is_met(line: str) -> bool:
    try:
        requirement = Requirement(re.split(r"\s--", line)[0])
    except InvalidRequirement:  # a path or URL: only pip can tell which version that is
        return False
    return _is_installed(requirement, extra="", seen=frozenset())


def _is_installed(requirement: Requirement, *, extra: str, seen: frozenset[str]) -> bool:
    if str(requirement) in seen:
        return True
    if requirement.marker is not None and not requirement.marker.evaluate({"extra": extra}):
        return True
    if requirement.url is not None:
        return False
    try:
        installed = importlib.metadata.distribution(requirement.name)
    except importlib.metadata.PackageNotFoundError:
        return False
    if not requirement.specifier.contains(installed.version, prereleases=True):
        return False
    return all(
        _is_installed(needed, extra=wanted, seen=seen | {str(requirement)})
        for wanted in requirement.extras
        for needed in map(Requirement, installed.requires or ())
        if needed.marker is not None and "extra" in str(needed.marker)
    )
