/* A team of threads that works through numbered tasks.
 *
 * No Python object is touched and no worker ever needs the GIL.  It promises not to become a
 * scheduler: no queues, no priorities, no nesting, no futures, no errors (a job carries its own
 * codes).
 *
 * A team belongs to the thread that started it: run and stop are not called from two threads at
 * once, nor from inside a task.  Teams of different threads are independent.
 */
#ifndef CBP_TASKS_H
#define CBP_TASKS_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct cbp_team cbp_team;

/* One task of a job.  worker is 0 for the thread that called cbp_team_run, else 1 .. active - 1. */
typedef void (*cbp_task)(void *job, ptrdiff_t task, int worker);

/* Starts n_threads - 1 workers (n_threads counts the caller).  If threads cannot be started, the
 * team is smaller; NULL only if there is no memory for the team itself. */
cbp_team *cbp_team_start(int n_threads);

/* The number of threads, including the caller: 1 <= size <= n_threads. */
int cbp_team_size(const cbp_team *team);

/* Calls fn(job, task, worker) once for each task in 0 .. n_tasks - 1, in any order, on at most
 * `active` threads (clipped to 1 .. size); returns when all are done.  Writes of the tasks are then
 * visible to the caller, and earlier writes of the caller to the tasks.  The caller works too, and
 * nothing waits for a worker to start or wake up. */
void cbp_team_run(cbp_team *team, cbp_task fn, void *job, ptrdiff_t n_tasks, int active);

/* Ends the workers and waits for them; team is then no longer valid.  NULL is allowed. */
void cbp_team_stop(cbp_team *team);

/* To be called first in a forked child: the workers exist only in the parent.  An inherited team
 * still runs (on the caller alone) and stops. */
void cbp_team_after_fork_in_child(void);

/* Seconds of a monotonic clock; only differences are meaningful. */
double cbp_clock(void);

#ifdef __cplusplus
}
#endif

#endif
