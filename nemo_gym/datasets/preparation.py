"""A preparation: task files in; `train.jsonl`, `validation.jsonl`, `example.jsonl` out, every row of them good."""

from __future__ import annotations

import random
from array import array
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import repeat
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from nemo_gym.config.nearest import suggestion
from nemo_gym.datasets.bad_rows import BadRows
from nemo_gym.datasets.chat_rows import from_chat
from nemo_gym.datasets.row_check import mistakes_in
from nemo_gym.datasets.source import DatasetSource
from nemo_gym.datasets.statistics import DatasetStatistics
from nemo_gym.errors import ConversionError, DataError
from nemo_gym.rollouts.files import write_whole
from nemo_gym.rollouts.rows import Line, TaskRow, agent_of, parse_object, prompted_row, read_lines
from nemo_gym.schemas.rollout import AGENT_REF

BAD_ROWS = "bad_rows.jsonl"
MISTAKES_TOLD = 3
"""Of one row."""


@dataclass(frozen=True)
class PreparationOptions:
    """What to prepare, and how."""

    sources: Sequence[DatasetSource]
    output_dir: Path
    agents: Collection[str] | None = None
    """Agents that rows may name; None: any."""
    drop_bad_rows: bool = False
    convert_chat: bool = False
    shuffle_seed: int | None = None
    """None: rows stay in order."""


@dataclass(frozen=True)
class PreparedFile:
    """One output file."""

    path: Path
    metrics_path: Path
    num_tasks: int
    """Different rows."""
    num_rows: int
    """Lines, repeats included."""


@dataclass(frozen=True)
class Prepared:
    """What a preparation came to."""

    files: list[PreparedFile]
    num_dropped: int
    num_converted: int
    bad_rows: Path
    """Tells each bad row; there only if there was one."""
    bad_rows_shown: list[str] = field(default_factory=list)


def prepare_datasets(options: PreparationOptions) -> Prepared:
    """Check every row and write one file per kind of source, with its metrics beside it as `<kind>_metrics.json`.

    A row gets the agent of its source unless it names one, and is written as often as its source says, the repeats
    together. Memory: 16 bytes per row. Raises `DataError` if a row is bad and `drop_bad_rows` is not set: then the
    output files stay as they were, and `bad_rows.jsonl` names every bad line.
    """
    kinds = list(dict.fromkeys(source.kind for source in options.sources))
    outputs = [_Output(options.output_dir, kind) for kind in kinds]
    _refuse_own_input(options.sources, outputs)
    options.output_dir.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        bad = stack.enter_context(BadRows(options.output_dir / BAD_ROWS))
        spools = {output.kind: stack.enter_context(_Spool(output)) for output in outputs}
        reader = _Reader(options, bad)
        for source in options.sources:
            reader.read(source, spools[source.kind])
        _refuse_bad(bad, reader.num_read, options)
        files = [spool.finish(options.shuffle_seed) for spool in spools.values()]
    return Prepared(files, bad.count, reader.num_converted, bad.path, bad.shown())


@dataclass(frozen=True)
class _Output:
    folder: Path
    kind: str

    @property
    def path(self) -> Path:
        return self.folder / f"{self.kind}.jsonl"

    @property
    def metrics_path(self) -> Path:
        return self.folder / f"{self.kind}_metrics.json"

    @property
    def spool_path(self) -> Path:
        return self.folder / f"{self.kind}.jsonl.spool"


class _Reader:
    """Reads sources into spools: converts, completes and checks each row."""

    def __init__(self, options: PreparationOptions, bad: BadRows) -> None:
        self.num_read = self.num_converted = 0
        self._options, self._bad = options, bad

    def read(self, source: DatasetSource, spool: _Spool) -> None:
        statistics = DatasetStatistics()
        bad_before, converted_before = self._bad.count, self.num_converted
        for line in read_lines(source.path):
            self.num_read += 1
            try:
                row = self._row(source, line)
            except DataError as error:
                self._bad.add(source.path, line.number, error.message)
            else:
                statistics.add(row)
                spool.add(row, source.num_repeats)
        facts = {
            "name": source.name,
            "jsonl_fpath": str(source.path),
            "agent": source.agent,
            "license": source.license,
            "num_repeats": source.num_repeats,
            "num_dropped": self._bad.count - bad_before,
            "num_converted": self.num_converted - converted_before,
        }
        spool.datasets.append(facts | statistics.figures())

    def _row(self, source: DatasetSource, line: Line) -> TaskRow:
        row = prompted_row(source.path, line, source.prompt) if source.prompt else parse_object(source.path, line)
        was_chat = False
        if self._options.convert_chat:
            try:
                row, was_chat = from_chat(row)
            except ConversionError as error:
                raise DataError(str(source.path), line.number, f"cannot be converted: {error}") from error
        mistakes = mistakes_in(row)
        if not mistakes:
            mistakes = self._complete(row, source)
        if mistakes:
            raise DataError(str(source.path), line.number, "; ".join(mistakes[:MISTAKES_TOLD]))
        self.num_converted += was_chat
        return row

    def _complete(self, row: TaskRow, source: DatasetSource) -> list[str]:
        """Write the agent into the row; what is wrong with it, if anything."""
        name = agent_of(row) or source.agent
        if name is None:
            return ["names no agent in `agent_ref`; give +agent_name=…"]
        known = self._options.agents
        if known is not None and name not in known:
            return [f"no agent `{name}` is configured; {suggestion(name, known, kind='agents')}"]
        row[AGENT_REF] = {"type": "responses_api_agents", "name": name}
        return []


class _Spool:
    """The good rows of one output, once each, until it is known whether and in which order they are written."""

    def __init__(self, output: _Output) -> None:
        self.datasets: list[dict[str, Any]] = []
        self._output = output
        self._offsets, self._repeats = array("q"), array("q")

    def __enter__(self) -> _Spool:
        self._file: BinaryIO = self._output.spool_path.open("w+b")
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self._output.spool_path.unlink(missing_ok=True)

    def add(self, row: TaskRow, num_repeats: int) -> None:
        self._offsets.append(self._file.tell())
        self._repeats.append(num_repeats)
        self._file.write(orjson.dumps(row) + b"\n")

    def finish(self, shuffle_seed: int | None) -> PreparedFile:
        """Write the output and its metrics; each file is replaced as a whole."""
        order = array("q", range(len(self._offsets)))
        if shuffle_seed is not None:
            random.Random(shuffle_seed).shuffle(order)
        write_whole(self._output.path, self._lines(order))
        num_rows = sum(self._repeats)
        figures = {"num_tasks": len(order), "num_rows": num_rows, "shuffle_seed": shuffle_seed}
        content = orjson.dumps({**figures, "datasets": self.datasets}, option=orjson.OPT_INDENT_2)
        write_whole(self._output.metrics_path, content + b"\n")
        return PreparedFile(self._output.path, self._output.metrics_path, len(order), num_rows)

    def _lines(self, order: Iterable[int]) -> Iterator[bytes]:
        for place in order:
            self._file.seek(self._offsets[place])
            yield from repeat(self._file.readline(), self._repeats[place])


def _refuse_own_input(sources: Sequence[DatasetSource], outputs: Sequence[_Output]) -> None:
    written = {output.path.resolve() for output in outputs}
    for source in sources:
        if source.path.resolve() in written:
            message = "is read and would be written over; give another +output_dirpath"
            raise DataError(str(source.path), None, message)


def _refuse_bad(bad: BadRows, num_read: int, options: PreparationOptions) -> None:
    files = ", ".join(str(source.path) for source in options.sources)
    if num_read == 0:
        raise DataError(files, None, "no task rows in it: nothing to prepare")
    if bad.count and not options.drop_bad_rows:
        message = f"{bad.count} of {num_read} rows are bad, nothing was written; +drop_bad_rows=true leaves them out"
        raise DataError(str(bad.path), None, "\n  ".join([message, *bad.shown()]))
    if bad.count == num_read:
        raise DataError(str(bad.path), None, "\n  ".join([f"all {num_read} rows are bad, none is left", *bad.shown()]))
