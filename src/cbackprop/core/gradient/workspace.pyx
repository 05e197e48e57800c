"""The memory of one call: a single slab, allocated before the loop and freed with the object.

Nothing is allocated inside a loop, so a MemoryError can only occur here, before anything has
changed.  Sizes: O(threads x block + threads x log2(leaves) x P) by leaves, O(super-block + P) by
tiles; never O(N x hidden).
"""

cimport cython
from cpython.mem cimport PyMem_RawFree, PyMem_RawMalloc
from libc.stdint cimport uintptr_t
from libc.string cimport memset

from cbackprop.core.simd.dispatch cimport f32, f64

cdef extern from *:
    Py_ssize_t PY_SSIZE_T_MAX


@cython.freelist(4)
cdef class Workspace:
    """A slab divided into the regions of ``Buffers`` by two passes over the same list."""

    def __dealloc__(self):
        PyMem_RawFree(self.slab)

    cdef char* lay(self, char** region, Py_ssize_t bytes) except? NULL:
        """The next region; the first pass (without a slab) only adds its size."""
        if bytes < 0 or bytes > PY_SSIZE_T_MAX // 2 - self.n_bytes:
            raise MemoryError("the network's work space is larger than memory can be")
        if self.slab != NULL:
            region[0] = (<char*>((<uintptr_t>self.slab + LINE - 1) // LINE * LINE)) + self.n_bytes
        self.n_bytes += (bytes + LINE - 1) // LINE * LINE
        return region[0]


cdef Workspace workspace_for(const Net* net, Py_ssize_t most_rows, int n_workers, bint backward):
    """The work space of a call with batches of up to ``most_rows`` rows.

    backward : whether gradients are computed, or only the forward pass
    """
    cdef:
        Workspace space = Workspace()
        Buffers* to = &space.buffers
        Py_ssize_t size = net.itemsize
        Py_ssize_t P = net.n_parameters
        Py_ssize_t n_in = net.layers[0].n_in
        Py_ssize_t n_out = net.layers[net.n_layers - 1].n_out
        Py_ssize_t rows = min(net.block_rows, max(most_rows, 1))
        Py_ssize_t super_rows = min(net.super_rows, max(most_rows, 1))
        Py_ssize_t n_leaves = max((most_rows + net.leaf_rows - 1) // net.leaf_rows, <Py_ssize_t>1)
        Py_ssize_t n_losses = (most_rows + net.block_rows - 1) // net.block_rows + 1
        Py_ssize_t most_tasks = max(16, 4 * n_workers)
        Py_ssize_t depth = 0
        Py_ssize_t few = 0
        Py_ssize_t before
        Py_ssize_t i
        bint tiled = net.tiled and backward
    space.most_rows, space.backward = most_rows, backward
    to.n_workers = n_workers
    to.gathered_rows = rows
    if backward and most_rows <= net.few_rows:
        to.gathered_rows = net.block_rows
        for i in range(1, most_rows + 1):
            few = max(few, f64.steps_scratch(net.layers[0].n_out, n_out, i) if size == 8
                      else f32.steps_scratch(net.layers[0].n_out, n_out, i))
    to.leaves_per_task = 1
    while to.leaves_per_task * most_tasks < n_leaves:
        to.leaves_per_task *= 2
        depth += 1
    to.n_slots = (n_leaves + to.leaves_per_task - 1) // to.leaves_per_task
    for _ in range(2):
        space.n_bytes = 0
        space.lay(&to.parameters, P * size)
        space.lay(<char**>&to.losses, n_losses * sizeof(double))
        space.lay(<char**>&to.unit_losses, n_losses * sizeof(double))
        if backward:
            space.lay(&to.transposed, net.n_transposed * size)
            space.lay(&to.gradient, P * size)
            space.lay(&to.few, few * size)
        if backward and not tiled:
            space.lay(&to.slots, (to.n_slots - 1) * P * size)
        if tiled:
            space.lay(&to.super_X, super_rows * n_in * size)
            space.lay(&to.super_Y, super_rows * n_out * size)
            space.lay(&to.super_Z, super_rows * net.n_kept * size)
            space.lay(&to.super_delta, super_rows * net.n_units * size)
        # Worker 0's regions; each further worker's are worker_bytes after the previous one's.
        before = space.n_bytes
        space.lay(&to.weight, rows * size)
        space.lay(&to.element_weight, 2 * rows * n_out * size)
        if not tiled:
            space.lay(&to.X, to.gathered_rows * n_in * size)
            space.lay(&to.Y, to.gathered_rows * n_out * size)
            space.lay(&to.Z, rows * net.n_kept * size)
        if backward and not tiled:
            space.lay(&to.delta, rows * net.n_units * size)
            space.lay(&to.stack, depth * P * size)
        to.worker_bytes = space.n_bytes - before + LINE     # workers share no cache line
        if to.worker_bytes > (PY_SSIZE_T_MAX // 2 - before) // n_workers:
            raise MemoryError("the network's work space is larger than memory can be")
        space.n_bytes = before + n_workers * to.worker_bytes
        if space.slab == NULL:
            space.slab = <char*>PyMem_RawMalloc(space.n_bytes + LINE)
            if space.slab == NULL:
                raise MemoryError(f"no {space.n_bytes} bytes for the network's work space")
    if few > 0:
        memset(to.few, 0, few * size)
    return space
