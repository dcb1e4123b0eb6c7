/* The only place where compiler extensions are named. */
#ifndef BASE_ATTR_H
#define BASE_ATTR_H

#define MUST_USE __attribute__((warn_unused_result))
#define PRINTF_LIKE(fmt, first) __attribute__((format(printf, fmt, first)))
#define NONNULL __attribute__((nonnull))
#define CLEANUP(fn) __attribute__((cleanup(fn)))
#define UNUSED __attribute__((unused))
#define LIKELY(x) __builtin_expect(!!(x), 1)
#define UNLIKELY(x) __builtin_expect(!!(x), 0)
#define ALWAYS_INLINE static inline __attribute__((always_inline))
#if defined(__has_attribute)
#if __has_attribute(uninitialized)
#define NO_AUTO_INIT __attribute__((uninitialized)) /* large, on a hot path, and written before it is read */
#endif
#endif
#ifndef NO_AUTO_INIT
#define NO_AUTO_INIT
#endif
#define PREFETCH(p) __builtin_prefetch(p) /* p may be anything: nothing is read by the program */
#define AT_START __attribute__((constructor)) /* runs before main */
#define BIT_LOWEST(v) ((unsigned)__builtin_ctzll(v))        /* index of the lowest set bit; v is not 0 */
#define BIT_HIGHEST(v) (63u - (unsigned)__builtin_clzll(v)) /* index of the highest set bit; v is not 0 */
#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
#define CONTAINER_OF(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

/* Is AddressSanitizer compiled in (gcc says so with a macro, clang with a feature)? */
#if defined(__SANITIZE_ADDRESS__)
#define ASAN_ENABLED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ASAN_ENABLED 1
#endif
#endif

#endif
