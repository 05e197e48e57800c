"""The number of threads of a BLAS library: one while a call of ours runs, as before afterwards.

The library's own functions are called by their addresses, which machine/blas_library.py finds.

Signals.  A signal handler can raise an exception between any two lines of Python.  Entry and exit
are therefore compiled: once called, they complete.

Locks.  The number belongs to the whole library.  The lock is held only while it is read and set;
who waits for it has released the GIL.
"""

import warnings

from cpython.pythread cimport (
    NOWAIT_LOCK,
    WAIT_LOCK,
    PyThread_acquire_lock,
    PyThread_allocate_lock,
    PyThread_free_lock,
    PyThread_release_lock,
    PyThread_type_lock,
)
from libc.stdint cimport int64_t, uintptr_t

ctypedef int (*Get)() noexcept nogil
ctypedef void (*Set)(int) noexcept nogil
ctypedef int64_t (*GetLong)() noexcept nogil
ctypedef void (*SetLong)(int64_t) noexcept nogil


cdef class Library:
    """A BLAS library, as far as its number of threads goes.

    Parameters
    ----------
    get, put : int
        The addresses of the C functions that return and take the number.
    long : bool
        Whether the number is a 64-bit integer (BLIS) instead of an int.
    of_thread : bool
        Whether each thread has its own number (libraries on OpenMP), so that nothing is shared.
    """

    cdef:
        uintptr_t get, put
        bint long, of_thread
        PyThread_type_lock lock
        Py_ssize_t n_inside         # contexts that are entered and not left
        int before                  # the number to restore
        Py_ssize_t n_forks          # of this process: a child runs none of its parent's calls
        bint warned
        bint held                   # the lock, by the thread that forks

    def __cinit__(self, uintptr_t get, uintptr_t put, *, bint long=False, bint of_thread=False):
        self.get, self.put, self.long, self.of_thread = get, put, long, of_thread
        self.lock = PyThread_allocate_lock()
        if self.lock == NULL:
            raise MemoryError

    def __dealloc__(self):
        if self.lock != NULL:
            PyThread_free_lock(self.lock)

    cdef int number(self) noexcept:
        return <int>(<GetLong>self.get)() if self.long else (<Get>self.get)()

    cdef void use(self, int n_threads) noexcept:
        if self.long:
            (<SetLong>self.put)(n_threads)
        else:
            (<Set>self.put)(n_threads)

    cdef void acquire(self) noexcept:
        """Wait without the GIL, which whoever holds the lock may need."""
        if not PyThread_acquire_lock(self.lock, NOWAIT_LOCK):
            with nogil:
                PyThread_acquire_lock(self.lock, WAIT_LOCK)

    @property
    def n_threads(self):
        """The number of threads now, of the whole library or of the calling thread."""
        return self.number()

    @n_threads.setter
    def n_threads(self, int n_threads):
        self.use(n_threads)

    @property
    def n_contexts(self):
        """How many contexts are entered and not left."""
        return self.n_inside

    def before_fork(self):
        """Keep the number fixed: the library's own fork handler stops and joins its threads."""
        self.acquire()
        self.held = True

    cdef void let_go(self) noexcept:
        """Release the lock, if `before_fork` has taken it: a signal may have kept it from that."""
        if self.held:
            self.held = False
            PyThread_release_lock(self.lock)

    def after_fork_in_parent(self):
        self.let_go()

    def after_fork_in_child(self):
        """Restore the number: the child runs none of the calls that asked for one thread."""
        self.n_forks += 1
        if self.n_inside and not self.of_thread and self.number() == 1:
            self.use(self.before)
        self.n_inside = 0
        self.let_go()


cdef class OneThread:
    """A context in which the library runs on one thread.

    Contexts may nest, and overlap in any order and in any threads.  The first to enter notes the
    number, the last to leave restores it, unless someone else has set another meanwhile.

    Warns
    -----
    RuntimeWarning
        If the library does not take the number: once.
    """

    cdef:
        Library library
        bint entered
        int before
        Py_ssize_t n_forks

    def __cinit__(self, Library library not None):
        self.library = library

    def __enter__(self):
        cdef:
            Library library = self.library
            int found, now
        if self.entered:
            raise RuntimeError("the context is entered already; expected a new one")
        library.acquire()
        found = now = library.number()
        if found != 1:
            library.use(1)
            now = library.number()
        if library.n_inside == 0:
            library.before = found
        library.n_inside += 1
        self.before, self.n_forks, self.entered = found, library.n_forks, True
        PyThread_release_lock(library.lock)
        if now != 1 and not library.warned:
            library.warned = True
            try:
                warnings.warn(
                    f"SciPy's BLAS still runs on {now} threads after it was told to use one: the "
                    "last bits of results can depend on their number; set OPENBLAS_NUM_THREADS, "
                    "MKL_NUM_THREADS or BLIS_NUM_THREADS to 1",
                    RuntimeWarning, stacklevel=2,
                )
            except BaseException:   # warnings are errors: the caller's `with` is not entered
                self.__exit__()
                raise
        return self

    def __exit__(self, *exc_info):
        cdef:
            Library library = self.library
            int before
        if not self.entered:
            return
        library.acquire()
        self.entered = False
        if self.n_forks == library.n_forks:     # else the child has left all contexts
            library.n_inside -= 1
        elif not library.of_thread:
            PyThread_release_lock(library.lock)
            return
        before = self.before if library.of_thread else library.before
        if ((library.of_thread or library.n_inside == 0) and before != 1
                and library.number() == 1):
            library.use(before)
        PyThread_release_lock(library.lock)
