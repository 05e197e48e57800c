/* What the level files share before they set their targets: system headers and macros, no code. */
#ifndef CBP_COMMON_H
#define CBP_COMMON_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "simd.h"
#include "cpu.h"

/* -DCBP_SCALAR builds the scalar code that MSVC uses. */
#if (defined(__GNUC__) || defined(__clang__)) && !defined(CBP_SCALAR)
#define CBP_GNU_VECTORS 1
#else
#define CBP_GNU_VECTORS 0
#endif

#if defined(__GNUC__) || defined(__clang__)
#define CBP_INLINE static inline __attribute__((always_inline, unused))
#define CBP_NOINLINE __attribute__((noinline))
#define CBP_PREFETCH(address) __builtin_prefetch(address)
#else
#define CBP_INLINE static __forceinline
#define CBP_NOINLINE __declspec(noinline)
#define CBP_PREFETCH(address) ((void)(address))
#endif

/* Keeps the compiler from recomputing x from its inputs. */
#if defined(__GNUC__) || defined(__clang__)
#define CBP_OPAQUE(x) __asm__("" : "+r"(x))
#else
#define CBP_OPAQUE(x) ((void)0)
#endif
#if (defined(__GNUC__) || defined(__clang__)) && (defined(__x86_64__) || defined(__i386__))
#define CBP_OPAQUE_VECTOR(x) __asm__("" : "+v"(x))
#elif (defined(__GNUC__) || defined(__clang__)) && defined(__aarch64__)
#define CBP_OPAQUE_VECTOR(x) __asm__("" : "+w"(x))
#else
#define CBP_OPAQUE_VECTOR(x) ((void)0)
#endif

/* Declares a local array on a cache line of its own. */
#if defined(__GNUC__) || defined(__clang__)
#define CBP_ALIGNED(T, declarator) T declarator __attribute__((aligned(64)))
#else
#define CBP_ALIGNED(T, declarator) __declspec(align(64)) T declarator
#endif

/* Loops over the registers of a tile: they must be unrolled completely. */
#if defined(__clang__)
#define CBP_UNROLL _Pragma("clang loop unroll(full)")
#elif defined(__GNUC__)
#define CBP_UNROLL _Pragma("GCC unroll 16")
#else
#define CBP_UNROLL
#endif

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wpsabi" /* vectors are passed to inlined functions only */
#endif

/* LOOP(activation) with a constant, so that each of four activations has its own loop; OTHERS,
 * which branches for each vector, for all others. */
#define FOR_EACH_ACTIVATION(LOOP, OTHERS)                                                              \
    switch (activation) {                                                                          \
    case CBP_IDENTITY: LOOP(CBP_IDENTITY); break;                                                  \
    case CBP_SIGMOID: LOOP(CBP_SIGMOID); break;                                                    \
    case CBP_TANH: LOOP(CBP_TANH); break;                                                          \
    case CBP_RELU: LOOP(CBP_RELU); break;                                                          \
    default: OTHERS; break;                                                                        \
    }

/* beta = 0 and alpha = 1; beta = 0; beta = 1; any other */
enum { PLAIN, SCALED, ADDED, COMBINED };

#define CBP_JOIN_(a, b, c) a##_##b##_##c
#define CBP_JOIN(a, b, c) CBP_JOIN_(a, b, c)
#define CBP_JOIN_WIDTH_(a, bytes, b, c) a##_##bytes##_##b##_##c
#define CBP_JOIN_WIDTH(a, bytes, b, c) CBP_JOIN_WIDTH_(a, bytes, b, c)

#endif
