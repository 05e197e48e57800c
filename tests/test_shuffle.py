"""The orders of the rows: permutations of (seed, epoch), their documented stream, and locality."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cbackprop.core.data.shuffle import epoch_order, window_order

SEEDS = st.integers(0, 2**64 - 1)


def full(seed, epoch, n):
    order = np.full(n, -1, np.int64)
    epoch_order(seed, epoch, order)
    return order


def windows(seed, epoch, n, block_rows, window_blocks):
    order = np.full(n, -1, np.int64)
    window_order(seed, epoch, block_rows, window_blocks, order)
    return order


class Stream:
    """Lemire's bounded integers on the 32-bit halves of NumPy's own Philox."""

    def __init__(self, seed, epoch):
        self.raw = np.random.Philox(key=np.array([seed, epoch], dtype=np.uint64)).random_raw
        self.halves = []

    def half(self):
        if not self.halves:
            word = int(self.raw())
            self.halves = [word & 0xFFFFFFFF, word >> 32]
        return self.halves.pop(0)

    def below(self, bound):
        while True:
            product = self.half() * bound
            if product & 0xFFFFFFFF >= (1 << 32) % bound:
                return product >> 32

    def shuffle(self, order):
        for i in range(len(order) - 1, 0, -1):
            j = self.below(i + 1)
            order[i], order[j] = order[j], order[i]
        return order


def twin(seed, epoch, n, block_rows, window_blocks):
    """The definition: blocks in random order, rows shuffled within runs of blocks."""
    stream = Stream(seed, epoch)
    rows = list(range(n))
    blocks = [rows[i : i + block_rows] for i in range(0, n, block_rows)]
    if len(blocks) <= window_blocks:
        return stream.shuffle(rows)
    stream.shuffle(blocks)
    order = []
    for i in range(0, len(blocks), window_blocks):
        order += stream.shuffle([row for block in blocks[i : i + window_blocks] for row in block])
    return order


@given(SEEDS, SEEDS, st.integers(0, 300), st.integers(1, 40), st.integers(1, 9))
def test_a_window_order_is_what_it_is_defined_as(seed, epoch, n, block_rows, window_blocks):
    order = windows(seed, epoch, n, block_rows, window_blocks)
    assert order.tolist() == twin(seed, epoch, n, block_rows, window_blocks)


@given(SEEDS, SEEDS, st.integers(0, 3000), st.integers(1, 2**62), st.integers(1, 2**62))
def test_each_row_once_an_epoch(seed, epoch, n, block_rows, window_blocks):
    for order in (
        full(seed, epoch, n),
        windows(seed, epoch, n, block_rows, window_blocks),
        windows(seed, epoch, n, 1 + block_rows % 50, 1 + window_blocks % 5),
    ):
        np.testing.assert_array_equal(np.sort(order), np.arange(n))


@given(SEEDS, st.integers(0, 500), st.integers(1, 600), st.integers(1, 600))
def test_one_window_is_a_full_shuffle(seed, n, block_rows, window_blocks):
    order = windows(seed, 3, n, block_rows, window_blocks)
    if n <= block_rows * window_blocks:
        np.testing.assert_array_equal(order, full(seed, 3, n))


@given(SEEDS, st.integers(2, 3000), st.integers(1, 60), st.integers(1, 9))
def test_a_windows_rows_come_from_few_blocks(seed, n, block_rows, window_blocks):
    order = windows(seed, 0, n, block_rows, window_blocks)
    block = order // block_rows
    n_blocks = block.max() + 1
    seen, start = [], 0
    while start < n:
        members = []  # the blocks that are met first
        for b in block[start:].tolist():
            if b not in members:
                if len(members) == window_blocks:
                    break
                members.append(b)
        end = start + sum(min(block_rows, n - b * block_rows) for b in members)
        assert set(block[start:end].tolist()) == set(members)
        seen += members
        start = end
    assert sorted(seen) == list(range(n_blocks))


def test_seed_and_epoch_are_all_that_counts():
    a = windows(1, 2, 1000, 16, 4)
    np.testing.assert_array_equal(a, windows(1, 2, 1000, 16, 4))
    for other in (windows(2, 2, 1000, 16, 4), windows(1, 3, 1000, 16, 4)):
        assert (a != other).mean() > 0.9


def chi_square(orders):
    """Of each row at each place, against a uniform one."""
    n = orders.shape[1]
    counts = np.stack([np.bincount(orders[:, place], minlength=n) for place in range(n)])
    expected = len(orders) / n
    return ((counts - expected) ** 2 / expected).sum()


def test_each_row_is_at_each_place_equally_often():
    """Blocks of one length: every place of a row is equally likely, though not every order."""
    n, epochs = 12, 6000
    freedom = (n - 1) ** 2
    orders = np.stack([windows(5, epoch, n, 2, 2) for epoch in range(epochs)])
    assert abs(chi_square(orders) - freedom) < 5 * np.sqrt(2 * freedom)


def test_neighbours_in_a_window_come_from_different_blocks():
    """No trace of the file's order within a window: two rows in succession are of one block as
    often as chance has it."""
    block = windows(5, 0, 200_000, 1000, 16) // 1000
    same = (np.diff(block) == 0).mean()
    assert same == pytest.approx(1 / 16, abs=0.005)


def test_five_million_rows():
    order = windows(9, 0, 5_000_001, 4096, 16)
    assert np.bincount(order).max() == 1
    first = order[: 16 * 4096]
    assert len(np.unique(first // 4096)) == 16


def test_bad_sizes_are_refused():
    for block_rows, window_blocks in ((0, 4), (4, 0), (-1, 1)):
        with pytest.raises(ValueError, match="at least 1"):
            windows(1, 1, 10, block_rows, window_blocks)
