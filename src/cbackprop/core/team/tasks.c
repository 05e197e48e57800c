/* The thread team of tasks.h: claiming by one atomic word, adaptive spinning, sleep on a lock.
 *
 * One word holds everything that decides which thread may do which task:
 *
 *     generation 12 bits | active 12 | limit 20 | next 20
 *
 * The caller publishes a run by writing the word; a thread whose number is below `active` claims
 * task `next` by raising the word by one while next < limit.  A limit beside the word would let a
 * late worker claim, by the old limit, a task of the next run.  A claim counts only if the whole
 * word is still as it was read, and what to do (fn, job, first) is read after the claim: then this
 * thread holds a task that is not done, so the run cannot end and the caller cannot write them.
 * So the result is right even if the generation wraps around while a worker is suspended between
 * reading and claiming; the generation only tells runs apart in a core dump or a trace.
 *
 * There is no barrier.  A thread that finds no task left adds the number of tasks it did to `done`;
 * the caller waits until the counts add up, so it waits for tasks begun by others and never for a
 * thread to wake up.
 *
 * Rejected: OpenMP (deadlocks in a forked child, missing on macOS); pure spinning (200 times
 * slower on one core); sleeping at once (a wake-up costs as much as a small step); condition
 * variables (PyThread has none); one queue per thread (tasks are few and large).
 */
#include <Python.h>
#include <pythread.h>

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#ifdef _WIN32
#define WIN32_LEAN_AND_MEAN
#include <process.h>
#include <windows.h>
#else
#include <pthread.h>
#include <sched.h>
#include <time.h>
#endif

#include "atomics.h"
#include "tasks.h"

#define TASK_BITS 20
#define ACTIVE_BITS 12
#define GENERATION_BITS 12
#define MASK(bits) ((INT64_C(1) << (bits)) - 1)

#define MOST_TASKS MASK(TASK_BITS) /* in one word; a longer run is several words */
#define MOST_THREADS 1024          /* below MASK(ACTIVE_BITS), so no run's word equals STOP */
#define STOP INT64_C(-1)

/* These constants affect only speed.  The full spin outlasts the serial part of a step, so that
 * workers are awake for the next step; an unsuccessful spin is followed by short ones, so that a
 * team on too few cores wastes little time; now and then a full one follows again, so that after a
 * long pause not every later step pays for waking up. */
#define FULL_SPIN 200e-6
#define SHORT_SPIN 2e-6
#define FULL_EVERY 32
#define LOOKS_PER_CLOCK 16 /* reading the clock costs about as much as a pause on some machines */

/* BLAS and the kernels need some 10 kB; the default is 128 kB on musl, 512 kB on macOS. */
#define STACK_BYTES (2 << 20)

#define LINE 128 /* bytes no two threads should share: two lines of 64, or one on Apple's arm64 */

#ifdef _WIN32
typedef HANDLE thread_handle;
#else
typedef pthread_t thread_handle;
#endif

typedef struct {
    cbp_atomic asleep; /* 1: a thread that sets it back to 0 from outside releases `bed`, once */
    PyThread_type_lock bed; /* held, except on the way from a release to the sleeper */
    cbp_team *team;
    int number;
    thread_handle thread;
} worker;

struct cbp_team {
    cbp_atomic word;
    char apart_1[LINE - sizeof(cbp_atomic)];
    cbp_atomic done; /* tasks of the word that the workers did */
    char apart_2[LINE - sizeof(cbp_atomic)];
    cbp_task fn; /* written by the caller while no task is claimable, read by claimants */
    void *job;
    ptrdiff_t first;
    worker **workers;
    int n_workers; /* created so far: memory and locks, not threads */
    int size;
    int64_t generation;
    int64_t process;
    cbp_team *next;
    char apart_3[LINE];
};

/* Teams not in use.  Teams, workers and their locks are never freed: the next call needs them
 * again, and a forked child cannot know the state of its parent's locks.  Nothing is allocated, and
 * nothing waited for, while pool_taken is set: Python's allocator may want the GIL, whose holder
 * may want the pool. */
static cbp_team *pool;
static cbp_atomic pool_taken;
static int64_t process; /* the number of forks since the process that imported this */

double cbp_clock(void) {
#ifdef _WIN32
    LARGE_INTEGER count, frequency;
    QueryPerformanceCounter(&count);
    QueryPerformanceFrequency(&frequency);
    return (double)count.QuadPart / (double)frequency.QuadPart;
#else
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
#endif
}

static void yield_processor(void) {
#ifdef _WIN32
    SwitchToThread();
#else
    sched_yield();
#endif
}

/* ---- the word -------------------------------------------------------------------------------- */

static int64_t pack(int64_t generation, int64_t active, int64_t limit) {
    uint64_t word = (uint64_t)(generation & MASK(GENERATION_BITS));
    word = word << ACTIVE_BITS | (uint64_t)active;
    word = word << TASK_BITS | (uint64_t)limit;
    return (int64_t)(word << TASK_BITS); /* next = 0 */
}

static int may_claim(int64_t word, int number) {
    int64_t next = word & MASK(TASK_BITS);
    int64_t limit = word >> TASK_BITS & MASK(TASK_BITS);
    int64_t active = word >> 2 * TASK_BITS & MASK(ACTIVE_BITS);
    return next < limit && number < active;
}

/* Claims and does tasks until there is none left; returns how many. */
static int64_t take_part(cbp_team *team, int number) {
    int64_t did = 0;
    for (;;) {
        int64_t word = cbp_load(&team->word);
        if (!may_claim(word, number))
            return did;
        if (cbp_swap_if(&team->word, word, word + 1)) {
            team->fn(team->job, team->first + (ptrdiff_t)(word & MASK(TASK_BITS)), number);
            did++;
        }
    }
}

/* ---- workers --------------------------------------------------------------------------------- */

static int is_wanted(const worker *me, int64_t word) {
    return word == STOP || may_claim(word, me->number);
}

/* Watches the word for the given time; true as soon as this worker is needed. */
static int spin(const worker *me, double seconds) {
    double end = cbp_clock() + seconds;
    do {
        for (int look = 0; look < LOOKS_PER_CLOCK; look++) {
            if (is_wanted(me, cbp_load(&me->team->word)))
                return 1;
            cbp_pause();
        }
    } while (cbp_clock() < end);
    return 0;
}

/* Sleeps until wake().  Either this worker, after setting `asleep`, sees the new word, or the
 * caller, after writing the word, sees `asleep` (both orders are sequentially consistent).  If both
 * do, the one that clears `asleep` decides: if it was the caller, it has released the lock or is
 * about to. */
static void sleep_unless_wanted(worker *me) {
    cbp_exchange(&me->asleep, 1);
    if (is_wanted(me, cbp_load_ordered(&me->team->word)) && cbp_swap_if(&me->asleep, 1, 0))
        return;
    PyThread_acquire_lock(me->bed, WAIT_LOCK);
}

static void wake(worker *other) {
    if (cbp_load_ordered(&other->asleep) && cbp_swap_if(&other->asleep, 1, 0))
        PyThread_release_lock(other->bed);
}

static void work(void *argument) {
    worker *me = (worker *)argument;
    cbp_team *team = me->team;
    /* Spins since the last that found a task.  The first one is short: on a busy core it would
     * delay the caller, which is still starting the others.  The second is full. */
    unsigned in_vain = FULL_EVERY - 1;

    while (cbp_load(&team->word) != STOP) {
        int64_t did = take_part(team, me->number);
        if (did)
            cbp_add(&team->done, did); /* from here on job belongs to the caller again */
        if (spin(me, in_vain % FULL_EVERY == 0 ? FULL_SPIN : SHORT_SPIN)) {
            in_vain = 0;
        } else {
            in_vain++;
            sleep_unless_wanted(me);
        }
    }
}

/* The system's threads instead of PyThread_start_new_thread's.  Those are detached: in one of
 * seven stops a thread was still visible after its last handshake, at times for 5 ms, and Python
 * 3.12 warns about a fork while there are threads. */
#ifdef _WIN32

static unsigned __stdcall thread_main(void *me) {
    work(me);
    return 0;
}

static int start_thread(worker *me) {
    me->thread = (HANDLE)_beginthreadex(NULL, STACK_BYTES, thread_main, me,
                                        STACK_SIZE_PARAM_IS_A_RESERVATION, NULL);
    return me->thread != NULL;
}

static void join_thread(worker *me) {
    WaitForSingleObject(me->thread, INFINITE);
    CloseHandle(me->thread);
}

#else

static void *thread_main(void *me) {
    work(me);
    return NULL;
}

/* Linux may start a thread on its creator's core, though another one is idle, and leave both there
 * for some milliseconds: steps of 784-100-10 in calls of 16 ms after a pause took 1.1 to 1.3 times
 * as long; longer calls were not affected.
 * So a worker starts on another core, and from then on may run wherever its creator may. */
static int create_elsewhere(worker *me, pthread_attr_t *attributes) {
#if defined(__linux__) && defined(__GLIBC__)
    cpu_set_t allowed, others;
    const int here = sched_getcpu();
    if (here >= 0 && here < CPU_SETSIZE && !sched_getaffinity(0, sizeof allowed, &allowed)) {
        others = allowed;
        CPU_CLR(here, &others);
        if (CPU_COUNT(&others) > 0 &&
            !pthread_attr_setaffinity_np(attributes, sizeof others, &others) &&
            !pthread_create(&me->thread, attributes, thread_main, me)) {
            pthread_setaffinity_np(me->thread, sizeof allowed, &allowed);
            return 1;
        }
        pthread_attr_setaffinity_np(attributes, sizeof allowed, &allowed);
    }
#else
    (void)me, (void)attributes;
#endif
    return 0;
}

static int start_thread(worker *me) {
    pthread_attr_t attributes;
    if (pthread_attr_init(&attributes))
        return 0;
    int started = !pthread_attr_setstacksize(&attributes, STACK_BYTES) &&
                  (create_elsewhere(me, &attributes) ||
                   !pthread_create(&me->thread, &attributes, thread_main, me));
    pthread_attr_destroy(&attributes);
    return started;
}

static void join_thread(worker *me) {
    pthread_join(me->thread, NULL);
}

#endif

/* ---- the pool -------------------------------------------------------------------------------- */

static void pool_enter(void) {
    while (cbp_exchange(&pool_taken, 1))
        yield_processor(); /* the holder needs only a few instructions: it was preempted */
}

static void pool_leave(void) {
    cbp_store(&pool_taken, 0);
}

static cbp_team *pool_pop(void) {
    pool_enter();
    cbp_team *team = pool;
    if (team)
        pool = team->next;
    pool_leave();
    return team;
}

static void pool_push(cbp_team *team) {
    pool_enter();
    team->next = pool;
    pool = team;
    pool_leave();
}

/* Zeroed memory on its own cache lines, never freed; NULL: none left. */
static void *new_lines(size_t size) {
    char *memory = (char *)calloc(1, size + 2 * LINE);
    return memory ? memory + (LINE - (uintptr_t)memory % LINE) : NULL;
}

/* Creates workers up to n_workers, or as many as memory allows. */
static void make_workers(cbp_team *team, int n_workers) {
    if (n_workers <= team->n_workers)
        return;
    void *longer = realloc(team->workers, (size_t)n_workers * sizeof(worker *));
    if (!longer)
        return;
    team->workers = (worker **)longer;
    while (team->n_workers < n_workers) {
        PyThread_type_lock bed = PyThread_allocate_lock();
        if (!bed)
            return;
        worker *made = (worker *)new_lines(sizeof(worker));
        if (!made) {
            PyThread_free_lock(bed);
            return;
        }
        PyThread_acquire_lock(bed, WAIT_LOCK);
        made->bed = bed;
        made->team = team;
        made->number = team->n_workers + 1;
        team->workers[team->n_workers++] = made;
    }
}

/* ---- the team -------------------------------------------------------------------------------- */

cbp_team *cbp_team_start(int n_threads) {
    cbp_team *team = pool_pop();
    if (!team && !(team = (cbp_team *)new_lines(sizeof(cbp_team))))
        return NULL;
    if (n_threads > MOST_THREADS)
        n_threads = MOST_THREADS;
    make_workers(team, n_threads - 1);
    cbp_store(&team->word, 0);
    team->process = process;
    team->size = 1;
    while (team->size < n_threads && team->size <= team->n_workers) {
        if (!start_thread(team->workers[team->size - 1]))
            break;
        team->size++;
    }
    return team;
}

int cbp_team_size(const cbp_team *team) {
    return team->size;
}

static void run_one_word(cbp_team *team, int64_t n_tasks, int active) {
    if (active > n_tasks)
        active = (int)n_tasks; /* wake no more workers than there are tasks */
    cbp_store(&team->done, 0);
    cbp_exchange(&team->word, pack(++team->generation, active, n_tasks));
    for (int number = 1; number < active; number++)
        wake(team->workers[number - 1]);

    int64_t by_workers = n_tasks - take_part(team, 0);
    double end = 0;
    while (cbp_load(&team->done) != by_workers) {
        if (end == 0)
            end = cbp_clock() + FULL_SPIN;
        if (cbp_clock() < end)
            cbp_pause();
        else
            yield_processor(); /* the awaited worker may need this core */
    }
}

void cbp_team_run(cbp_team *team, cbp_task fn, void *job, ptrdiff_t n_tasks, int active) {
    if (active > team->size)
        active = team->size;
    if (active <= 1 || n_tasks <= 1 || team->process != process) {
        for (ptrdiff_t task = 0; task < n_tasks; task++)
            fn(job, task, 0);
        return;
    }
    team->fn = fn;
    team->job = job;
    for (ptrdiff_t first = 0; first < n_tasks;) {
        ptrdiff_t n = n_tasks - first < MOST_TASKS ? n_tasks - first : (ptrdiff_t)MOST_TASKS;
        team->first = first;
        run_one_word(team, n, active);
        first += n;
    }
}

void cbp_team_stop(cbp_team *team) {
    if (!team || team->process != process)
        return; /* a parent's team: the state of its locks is unknown, so it is not used again */
    if (team->size > 1) {
        cbp_exchange(&team->word, STOP);
        for (int number = 1; number < team->size; number++)
            wake(team->workers[number - 1]);
        for (int number = 1; number < team->size; number++)
            join_thread(team->workers[number - 1]);
    }
    pool_push(team);
}

void cbp_team_after_fork_in_child(void) {
    pool = NULL; /* the fork may also have interrupted a release of idle teams' locks */
    cbp_store(&pool_taken, 0);
    process++;
}
