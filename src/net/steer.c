/* Which worker's socket takes a datagram (SO_ATTACH_REUSEPORT_CBPF). The kernel chooses among the
 * sockets of one address by the two ends of the datagram, so all answers of a server are read by
 * one worker, and most belong to others: handing one over costs a copy, a second look at it and
 * often a wake-up. The program looks for the mark of our branches in what begins like a response
 * and takes the worker from behind it. It only saves work: what it does not find, and where it is
 * not to be had, the kernel's choice holds, and the edge hands over. Thread: the main one. */
#include "net/net_priv.h"
#include <linux/filter.h>

/* Where the last four bytes of the mark may stand: behind "SIP/2.0 200 OK", the name of the header,
 * transport and sent-by. */
#define FROM 32u
#define UP_TO 180u
#define BEHIND 6u /* those four bytes, and two digits */
#define NOBODY 0xffffffffu

/* Jumps to `what` places from here; tests jump over one instruction, since theirs reach 255 only.
 */
#define GO(what) ((struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JA, (what), 0, 0))
#define LOAD(op, at) ((struct sock_filter)BPF_STMT(BPF_LD | (op), (at)))

static void add(struct sock_fprog *p, struct sock_filter f)
{
    p->filter[p->len++] = f;
}

/* A: the value of the hexadecimal digit `at` bytes behind X, as we write them: 0-9, a-f. */
static void add_digit(struct sock_fprog *p, unsigned at)
{
    add(p, LOAD(BPF_B | BPF_IND, at));
    add(p, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, 'a', 0, 2));
    add(p, (struct sock_filter)BPF_STMT(BPF_ALU | BPF_SUB | BPF_K, 'a' - 10));
    add(p, GO(1));
    add(p, (struct sock_filter)BPF_STMT(BPF_ALU | BPF_SUB | BPF_K, '0'));
}

void steer_responses(int fd, const char *mark, unsigned n_workers)
{
    enum { PLACES = UP_TO - FROM, SIZE = 8 + 4 * PLACES + 24 };
    struct sock_filter code[SIZE];
    struct sock_fprog p = {.filter = code};
    size_t n = mark ? strlen(mark) : 0;
    unsigned end = 6 + 4 * PLACES; /* where the worker is taken from behind X */
    uint32_t tail;

    if (n < sizeof(tail) || n_workers < 2)
        return;
    memcpy(&tail, mark + n - sizeof(tail), sizeof(tail));
    add(&p, LOAD(BPF_W | BPF_LEN, 0));
    add(&p, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, UP_TO + BEHIND, 0, 2));
    add(&p, LOAD(BPF_W | BPF_ABS, 0));
    add(&p, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0x5349502f, 1, 0)); /* "SIP/" */
    add(&p, (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, NOBODY));
    for (unsigned at = FROM; at < UP_TO; at++) {
        add(&p, LOAD(BPF_W | BPF_ABS, at));
        add(&p, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ntohl(tail), 0, 2));
        add(&p, (struct sock_filter)BPF_STMT(BPF_LDX | BPF_IMM, at));
        add(&p, GO(end - (unsigned)p.len - 1));
    }
    add(&p, (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, NOBODY));
    add_digit(&p, 4);
    add(&p, (struct sock_filter)BPF_STMT(BPF_ALU | BPF_LSH | BPF_K, 4));
    add(&p, (struct sock_filter)BPF_STMT(BPF_ST, 0));
    add_digit(&p, 5);
    add(&p, (struct sock_filter)BPF_STMT(BPF_MISC | BPF_TAX, 0));
    add(&p, (struct sock_filter)BPF_STMT(BPF_LD | BPF_MEM, 0));
    add(&p, (struct sock_filter)BPF_STMT(BPF_ALU | BPF_ADD | BPF_X, 0));
    /* The sockets are numbered in the order in which they were bound. */
    add(&p, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, n_workers, 1, 0));
    add(&p, (struct sock_filter)BPF_STMT(BPF_RET | BPF_A, 0));
    add(&p, (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, NOBODY));
    (void)setsockopt(fd, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &p, sizeof(p));
}
