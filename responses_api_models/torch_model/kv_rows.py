"""The keys and values of a batch: a row for each request, its token at position p in column p."""

from __future__ import annotations

import torch
from transformers import Cache, DynamicCache, PreTrainedModel

FIRST_LENGTH = 256


class KVRows(Cache):
    """Grows as needed. Rows in use are the first ones: whoever removes one puts the last into its place.

    `aim` says where the next forward pass writes, and what it sees; the model then calls `update` for each layer.
    """

    def __init__(self, model: PreTrainedModel) -> None:
        probe = DynamicCache()
        with torch.inference_mode():
            model(torch.zeros((1, 1), dtype=torch.long, device=model.device), past_key_values=probe, use_cache=True)
        keys = probe.layers[0].keys
        shapes = {(layer.keys.shape, layer.values.shape) for layer in probe.layers}
        assert shapes == {(keys.shape, keys.shape)}, "layers of different shapes; Checkpoint.load refuses such models"
        super().__init__(layers=[])
        self._layers, self._heads, self._head_dim = len(probe.layers), keys.shape[1], keys.shape[3]
        self._kv = keys.new_zeros((self._layers, 2, 0, 0, self._heads, self._head_dim))
        self._rows, self._places, self._seen = slice(0, 0), torch.empty(0, dtype=torch.long), 0

    @property
    def length(self) -> int:
        """Columns that there are. The last one is never read: what is padding is written there."""
        return int(self._kv.shape[3])

    def reserve(self, rows: int, length: int) -> None:
        """Have room for so many rows, and so many tokens in each."""
        old_rows, old_length = self._kv.shape[2:4]
        if rows <= old_rows and length < old_length:
            return
        rows = old_rows if rows <= old_rows else max(rows, 2 * old_rows)
        length = old_length if length < old_length else max(length + 1, 2 * old_length, FIRST_LENGTH)
        # Zeros, as what is masked must be finite still: 0 times not-a-number is no zero.
        grown = self._kv.new_zeros((self._layers, 2, rows, length, self._heads, self._head_dim))
        grown[:, :, :old_rows, :old_length] = self._kv
        self._kv = grown

    def read(self, row: int, start: int, end: int) -> torch.Tensor:
        """A copy of the columns from `start` to `end`, shape [layers, 2, end - start, heads, head_dim]."""
        return self._kv[:, :, row, start:end].clone()

    def write(self, row: int, columns: torch.Tensor) -> None:
        """Put what `read` gave into the first columns."""
        self._kv[:, :, row, : columns.shape[2]] = columns

    def move(self, source: int, target: int, length: int) -> None:
        """Have row `target` hold the first `length` tokens of row `source`."""
        self._kv[:, :, target, :length] = self._kv[:, :, source, :length]

    def aim(self, first_row: int, positions: torch.Tensor, real: torch.Tensor | None, seen: int) -> None:
        """`positions`: columns of the next tokens of the rows from `first_row` on, shape [R, T]; where `real`, of the
        same shape, is false they are padding. `seen`: columns that the pass looks at."""
        count, length = positions.shape[0], self.length
        columns = positions if real is None else torch.where(real, positions, length - 1)
        offsets = torch.arange(first_row, first_row + count, device=positions.device) * length
        self._rows = slice(first_row, first_row + count)
        self._places = (offsets[:, None] + columns).view(-1)
        self._seen = seen

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, layer_idx: int, *_: object, **__: object
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Keep a layer's new keys and values, shape [R, heads, T, head_dim]; return all that the pass looks at."""
        layer = self._kv[layer_idx]
        flat = layer.view(2, -1, self._heads, self._head_dim)
        flat[0].index_copy_(0, self._places, key_states.transpose(1, 2).reshape(-1, self._heads, self._head_dim))
        flat[1].index_copy_(0, self._places, value_states.transpose(1, 2).reshape(-1, self._heads, self._head_dim))
        seen = layer[:, self._rows, : self._seen].transpose(2, 3)
        return seen[0], seen[1]

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """Nobody needs it: positions and masks are given."""
        return 0
