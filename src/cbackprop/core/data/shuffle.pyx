"""The order of the rows in an epoch: a permutation that is a function of (seed, epoch).

Either a uniformly random permutation, or one for data that are read from a file: blocks of
consecutive rows in random order, and the rows shuffled within windows of a few blocks.

Random bits: Philox4x64-10 (Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1,
2, 3", SC 2011) with the key (seed, epoch); the raw output is that of
``numpy.random.Philox(key=[seed, epoch])``, which NumPy's compatibility policy keeps stable.
Bounded integers: Lemire's multiplication with rejection (ACM TOMACS 29, 2019) on the 32-bit halves,
low half first.  Permutation: Fisher and Yates, from the last place down.  So resuming an epoch
needs two integers and no stored generator.
"""

from libc.stdint cimport int64_t, uint32_t, uint64_t

cdef extern from *:
    """
    #include <stdint.h>
    #if defined(_MSC_VER) && !defined(__clang__)
    #include <intrin.h>
    static inline uint64_t cbp_multiply(uint64_t a, uint64_t b, uint64_t *high)
    { *high = __umulh(a, b); return a * b; }
    #else
    static inline uint64_t cbp_multiply(uint64_t a, uint64_t b, uint64_t *high)
    { unsigned __int128 product = (unsigned __int128)a * b;
      *high = (uint64_t)(product >> 64); return (uint64_t)product; }
    #endif
    """
    uint64_t cbp_multiply(uint64_t a, uint64_t b, uint64_t* high) noexcept nogil

ctypedef struct Philox:
    uint64_t key[2]
    uint64_t counter
    uint64_t block[4]
    int used                    # 32-bit halves of the block that have been used


cdef void next_block(Philox* state) noexcept nogil:
    """Ten rounds on the next counter.  No permutation needs more than 2^64 blocks."""
    cdef uint64_t c0, c1 = 0, c2 = 0, c3 = 0
    cdef uint64_t k0 = state.key[0]
    cdef uint64_t k1 = state.key[1]
    cdef uint64_t high0 = 0, high1 = 0, low0, low1
    cdef int _
    state.counter += 1
    c0 = state.counter
    for _ in range(10):
        low0 = cbp_multiply(<uint64_t>0xD2E7470EE14C6C93, c0, &high0)
        low1 = cbp_multiply(<uint64_t>0xCA5A826395121157, c2, &high1)
        c0 = high1 ^ c1 ^ k0
        c1 = low1
        c2 = high0 ^ c3 ^ k1
        c3 = low0
        k0 += <uint64_t>0x9E3779B97F4A7C15
        k1 += <uint64_t>0xBB67AE8584CAA73B
    state.block[0], state.block[1], state.block[2], state.block[3] = c0, c1, c2, c3
    state.used = 0


cdef inline uint32_t next_half(Philox* state) noexcept nogil:
    cdef uint64_t word
    if state.used == 8:
        next_block(state)
    word = state.block[state.used >> 1]
    word = word >> 32 if state.used & 1 else word
    state.used += 1
    return <uint32_t>word


cdef inline uint32_t below(Philox* state, uint32_t bound) noexcept nogil:
    """An integer in [0, bound), each equally likely."""
    cdef uint64_t product = <uint64_t>next_half(state) * bound
    cdef uint32_t low = <uint32_t>product
    cdef uint32_t threshold
    if low < bound:
        threshold = (<uint32_t>0 - bound) % bound
        while low < threshold:
            product = <uint64_t>next_half(state) * bound
            low = <uint32_t>product
    return <uint32_t>(product >> 32)


cdef inline void begin(Philox* state, uint64_t seed, uint64_t epoch) noexcept nogil:
    """Start the stream of (seed, epoch) at its first number."""
    state.key[0], state.key[1], state.counter, state.used = seed, epoch, 0, 8


cdef inline void shuffle(Philox* state, Py_ssize_t n, int64_t* order) noexcept nogil:
    """Shuffle order (n,), all permutations being equally likely; n below 2^32."""
    cdef Py_ssize_t i, j
    cdef int64_t swap
    for i in range(n - 1, 0, -1):
        j = below(state, <uint32_t>(i + 1))
        swap = order[i]
        order[i] = order[j]
        order[j] = swap


cdef void permutation(uint64_t seed, uint64_t epoch, Py_ssize_t n, int64_t* order) noexcept nogil:
    """order (n,) = a permutation of 0 .. n - 1; n below 2^32."""
    cdef Philox state
    cdef Py_ssize_t i
    begin(&state, seed, epoch)
    for i in range(n):
        order[i] = i
    shuffle(&state, n, order)


cdef void window_permutation(uint64_t seed, uint64_t epoch, Py_ssize_t n, Py_ssize_t block_rows,
                             Py_ssize_t window_blocks, int64_t* order) noexcept nogil:
    """order (n,) = a permutation of 0 .. n - 1 with nearby rows close together; n below 2^32.

    The rows are cut into blocks of ``block_rows`` consecutive rows, of which the last may be short.
    The blocks are shuffled, and each run of ``window_blocks`` blocks is a window, within which the
    rows are shuffled.  If all rows fit into one window, it equals ``permutation``.

    block_rows, window_blocks : at least 1; for training BLOCK_ROWS and WINDOW_BLOCKS
    """
    cdef:
        Philox state
        Py_ssize_t n_blocks = n // block_rows + (n % block_rows > 0)
        # The blocks' order is stored at the end of ``order`` until the rows reach it: every
        # remaining block has at least one row, so its number has not been overwritten.
        int64_t* blocks = order + n - n_blocks
        Py_ssize_t window = 0       # where the window begins
        Py_ssize_t end = 0          # where the rows so far end
        Py_ssize_t i, row, first
    if n_blocks <= window_blocks:
        permutation(seed, epoch, n, order)
        return
    begin(&state, seed, epoch)
    for i in range(n_blocks):
        blocks[i] = i
    shuffle(&state, n_blocks, blocks)
    for i in range(n_blocks):
        first = blocks[i] * block_rows
        for row in range(first, min(first + block_rows, n)):
            order[end] = row
            end += 1
        if (i + 1) % window_blocks == 0 or i + 1 == n_blocks:
            shuffle(&state, end - window, order + window)
            window = end


def epoch_order(uint64_t seed, uint64_t epoch, int64_t[::1] order):
    """Fill ``order`` with the permutation used for ``seed`` and ``epoch``."""
    check_length(order.shape[0])
    if order.shape[0] == 0:
        return
    with nogil:
        permutation(seed, epoch, order.shape[0], &order[0])


def window_order(uint64_t seed, uint64_t epoch, Py_ssize_t block_rows, Py_ssize_t window_blocks,
                 int64_t[::1] order):
    """The same for windows of ``window_blocks`` blocks of ``block_rows`` rows."""
    check_length(order.shape[0])
    if block_rows < 1 or window_blocks < 1:
        raise ValueError("block_rows and window_blocks are at least 1")
    if order.shape[0] == 0:
        return
    with nogil:
        window_permutation(seed, epoch, order.shape[0], block_rows, window_blocks, &order[0])


cdef int check_length(Py_ssize_t n) except -1:
    if n >= <Py_ssize_t>0xFFFFFFFF:
        raise ValueError("a permutation has fewer than 2^32 elements")
    return 0
