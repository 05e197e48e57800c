/* The few atomic operations the team needs: __atomic_* of GCC and Clang, _Interlocked* of MSVC.
 *
 * One type, one order each; it promises not to become a library.  No <stdatomic.h>: MSVC has it
 * only behind an experimental switch.
 *
 *     cbp_load            acquire
 *     cbp_load_ordered    sequentially consistent: never before this thread's last cbp_exchange
 *     cbp_store           release
 *     cbp_exchange, cbp_add (both return the old value), cbp_swap_if   sequentially consistent
 */
#ifndef CBP_ATOMICS_H
#define CBP_ATOMICS_H

#include <stdint.h>

#if defined(_MSC_VER) && !defined(__clang__)

#include <intrin.h>

typedef volatile __int64 cbp_atomic;

#if defined(_M_ARM64) || defined(_M_ARM64EC)
#define CBP_BARRIER() __dmb(_ARM64_BARRIER_ISH)
#define cbp_pause() __yield()
#else /* x64 keeps loads in order and stores in order; only the compiler must be restrained */
#define CBP_BARRIER() _ReadWriteBarrier()
#define cbp_pause() _mm_pause()
#endif

static inline int64_t cbp_load(const cbp_atomic *p) {
    int64_t value = __iso_volatile_load64((const volatile __int64 *)p);
    CBP_BARRIER();
    return value;
}

/* An arm64 exchange may be an acquiring load and a releasing store, and a later plain load may
 * overtake the store; hence the barrier in front.  On x64 the exchange is locked, which is barrier
 * enough. */
static inline int64_t cbp_load_ordered(const cbp_atomic *p) {
    CBP_BARRIER();
    return cbp_load(p);
}

static inline void cbp_store(cbp_atomic *p, int64_t value) {
    CBP_BARRIER();
    __iso_volatile_store64(p, value);
}

#define cbp_exchange(p, value) _InterlockedExchange64((p), (value))
#define cbp_add(p, value) _InterlockedExchangeAdd64((p), (value))
#define cbp_swap_if(p, old, value) (_InterlockedCompareExchange64((p), (value), (old)) == (old))

#else

typedef int64_t cbp_atomic __attribute__((aligned(8))); /* 32-bit x86 would take 4 */

#define cbp_load(p) __atomic_load_n((p), __ATOMIC_ACQUIRE)
#define cbp_load_ordered(p) __atomic_load_n((p), __ATOMIC_SEQ_CST)
#define cbp_store(p, value) __atomic_store_n((p), (value), __ATOMIC_RELEASE)
#define cbp_exchange(p, value) __atomic_exchange_n((p), (value), __ATOMIC_SEQ_CST)
#define cbp_add(p, value) __atomic_fetch_add((p), (value), __ATOMIC_SEQ_CST)

static inline int cbp_swap_if(cbp_atomic *p, int64_t old, int64_t value) {
    return __atomic_compare_exchange_n(p, &old, value, 0, __ATOMIC_SEQ_CST, __ATOMIC_ACQUIRE);
}

#if defined(__x86_64__) || defined(__i386__)
#define cbp_pause() __builtin_ia32_pause()
#elif defined(__aarch64__) || defined(__arm__)
#define cbp_pause() __asm__ __volatile__("yield" ::: "memory")
#else
#define cbp_pause() __asm__ __volatile__("" ::: "memory")
#endif

#endif

#endif
