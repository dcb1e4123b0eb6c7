/* Fibers by ucontext, with what ASan must be told of them (sanitizer/common_interface_defs.h). */
#include "base/fiber.h"
#include "base/mem.h"
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__)
#define WITH_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define WITH_ASAN 1
#endif
#endif
#ifdef WITH_ASAN
#include <sanitizer/common_interface_defs.h>
#endif

struct fiber {
    ucontext_t outside, inside;
    char *map;
    size_t map_n, guard;
    void (*fn)(void *arg); /* NULL: it has returned */
    void *arg;
    bool is_leaving; /* for good */
    /* ASan's */
    void *fake;
    const void *outside_stack;
    size_t outside_n;
};

static _Thread_local struct fiber *entering; /* makecontext passes no pointers */

/* This stack is left for that one; *fake is what ASan keeps of this one; NULL: nothing more is. */
static void leaving(void **fake, const void *bottom, size_t n)
{
#ifdef WITH_ASAN
    __sanitizer_start_switch_fiber(fake, bottom, n);
#else
    (void)fake, (void)bottom, (void)n;
#endif
}

static void arrived(void *fake, const void **ret_bottom, size_t *ret_n)
{
#ifdef WITH_ASAN
    __sanitizer_finish_switch_fiber(fake, ret_bottom, ret_n);
#else
    (void)fake, (void)ret_bottom, (void)ret_n;
#endif
}

static void switch_in(struct fiber *f)
{
    void *fake = NULL;

    leaving(&fake, f->map + f->guard, f->map_n - f->guard);
    (void)swapcontext(&f->outside, &f->inside);
    arrived(fake, NULL, NULL);
}

void fiber_pause(struct fiber *f)
{
    leaving(f->is_leaving ? NULL : &f->fake, f->outside_stack, f->outside_n);
    (void)swapcontext(&f->inside, &f->outside);
    arrived(f->fake, &f->outside_stack, &f->outside_n);
}

static void entry(void)
{
    struct fiber *f = entering;

    arrived(NULL, &f->outside_stack, &f->outside_n);
    for (;;) {
        if (!f->is_leaving)
            f->fn(f->arg);
        f->fn = NULL;
        fiber_pause(f);
    }
}

bool fiber_resume(struct fiber *f)
{
    entering = f;
    switch_in(f);
    return f->fn == NULL;
}

bool fiber_start(struct fiber *f, void (*fn)(void *arg), void *arg)
{
    f->fn = fn;
    f->arg = arg;
    return fiber_resume(f);
}

int fiber_new(size_t stack_bytes, struct fiber **ret)
{
    struct fiber *f = mem_zalloc(sizeof(*f));
    size_t page = (size_t)sysconf(_SC_PAGESIZE), n = (stack_bytes + page - 1) / page * page;

    *ret = NULL;
    if (!f)
        return ERR_NOMEM;
    f->guard = page;
    f->map_n = n + page;
    f->map = mmap(NULL, f->map_n, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
    if (f->map == MAP_FAILED ||
        mmap(f->map + page, n, PROT_READ | PROT_WRITE,
             MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK | MAP_FIXED, -1, 0) == MAP_FAILED ||
        getcontext(&f->inside) != 0) {
        if (f->map != MAP_FAILED)
            (void)munmap(f->map, f->map_n);
        mem_free(f);
        return ERR_NOMEM;
    }
    f->inside.uc_stack.ss_sp = f->map + page;
    f->inside.uc_stack.ss_size = n;
    f->inside.uc_link = NULL;
    makecontext(&f->inside, entry, 0);
    *ret = f;
    return 0;
}

void fiber_free(struct fiber *f)
{
    if (!f)
        return;
    f->is_leaving = true;
    (void)fiber_resume(f); /* ASan forgets what it kept of this stack */
    (void)munmap(f->map, f->map_n);
    mem_free(f);
}
