#pragma once

// Hot loops are compiled for several instruction sets; the best that the processor has is chosen when the program
// starts. Sanitizer builds use the baseline only: the resolvers run before the sanitizers' own start-up.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && !defined(ESMM_SANITIZED)
#define ESMM_VECTORIZED __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define ESMM_VECTORIZED
#endif

// For the bodies that such loops share: code that is not inlined into a clone would be compiled for the baseline.
#define ESMM_INLINE inline __attribute__((always_inline))
