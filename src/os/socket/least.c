/* SPDX-License-Identifier: MIT */
#include "os/socket/least.h"

#include "base/scope.h"
#include "os/btf.h"
#include "os/capset.h"
#include "os/socket/socket.h"

#include <assert.h>
#include <errno.h>
#include <linux/bpf.h>
#include <linux/capability.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <unistd.h>

/* A member where nobody waits counts as if so many waited in its queue. */
#define BUSY 16
/* In ns, about 0.3 s: whoever is busy for less is done the sooner the longer that is;
 * but if it takes longer, nobody knows how long, and the latest one comes first. */
#define LONG (1 << 28)
/* Of one that is stuck, 2 to the power of it. */
#define STUCK_BIT 20
/* Looks at members for one connection: of more, chance chooses these. */
#define LOOKS_MOST 32
/* Those that wait for a socket: nclust's own epoll set may be one. */
#define WAITERS_MOST 3

static_assert((REUSEPORT_MAX & (REUSEPORT_MAX - 1)) == 0, "a mask bounds it");

static int bpf(int command, union bpf_attr *attr)
{
	return (int)syscall(SYS_bpf, command, attr, sizeof(*attr));
}

/* ---- where the kernel has it ---- */

enum place {
	SELECTED,
	BACKLOG,
	QUEUE,
	HALF_OPEN,
	WAIT_QUEUE,
	WAIT,
	HEAD,
	PRIVATE,
	ENTRY,
	POLL_ITEM,
	POLL_WAIT,
	POLL_HEAD,
	ITEM_SET,
	SET_WAIT,
	PLACES
};

static const struct btf_place wanted[PLACES] = {
	[SELECTED] = {"sk_reuseport_kern", "selected_sk", 0},
	[BACKLOG] = {"sock", "sk_ack_backlog", 0},
	[QUEUE] = {"inet_connection_sock", "icsk_accept_queue", 0},
	[HALF_OPEN] = {"request_sock_queue", "qlen", 0},
	[WAIT_QUEUE] = {"sock", "sk_wq", 0},
	[WAIT] = {"socket_wq", "wait", 0},
	[HEAD] = {"wait_queue_head", "head", 0},
	[PRIVATE] = {"wait_queue_entry", "private", 0},
	[ENTRY] = {"wait_queue_entry", "entry", 0},
	[POLL_ITEM] = {"eppoll_entry", "base", 0},
	[POLL_WAIT] = {"eppoll_entry", "wait", 0},
	[POLL_HEAD] = {"eppoll_entry", "whead", 0},
	[ITEM_SET] = {"epitem", "ep", 0},
	[SET_WAIT] = {"eventpoll", "wq", 0},
};

/* ---- writing the program ---- */

#define CODE_MAX 512
#define JUMPS_MAX 16

struct code {
	struct bpf_insn list[CODE_MAX];
	size_t n;
};

/* Jumps to a place further on that is not known yet. */
struct ahead {
	size_t from[JUMPS_MAX];
	unsigned count;
};

static void put(struct code *c, unsigned code, unsigned to, unsigned from,
	int off, int imm)
{
	assert(c->n < CODE_MAX);
	c->list[c->n++] = (struct bpf_insn){
		.code = (uint8_t)code,
		.dst_reg = (uint8_t)(to & 15),
		.src_reg = (uint8_t)(from & 15),
		.off = (int16_t)off,
		.imm = imm,
	};
}

static void set(struct code *c, unsigned to, int imm)
{
	put(c, BPF_ALU64 | BPF_MOV | BPF_K, to, 0, 0, imm);
}

static void copy(struct code *c, unsigned to, unsigned from)
{
	put(c, BPF_ALU64 | BPF_MOV | BPF_X, to, from, 0, 0);
}

static void add(struct code *c, unsigned to, int imm)
{
	put(c, BPF_ALU64 | BPF_ADD, to, 0, 0, imm); /* BPF_K is 0, too */
}

static void load(
	struct code *c, unsigned size, unsigned to, unsigned from, int off)
{
	put(c, BPF_LDX | BPF_MEM | size, to, from, off, 0);
}

static void store(
	struct code *c, unsigned size, unsigned to, int off, unsigned from)
{
	put(c, BPF_STX | BPF_MEM | size, to, from, off, 0);
}

static void call(struct code *c, int function)
{
	put(c, BPF_JMP | BPF_CALL, 0, 0, 0, function);
}

static void load_map(struct code *c, unsigned to, int map)
{
	/* BPF_IMM is 0, too */
	put(c, BPF_LD | BPF_DW, to, BPF_PSEUDO_MAP_FD, 0, map);
	put(c, 0, 0, 0, 0, 0); /* the other half of its address */
}

/* Jump ahead if `to` compares so with the number, or with the other register. */
static void jump(
	struct code *c, struct ahead *a, unsigned how, unsigned to, int imm)
{
	assert(a->count < JUMPS_MAX);
	a->from[a->count++] = c->n;
	put(c, BPF_JMP | how | BPF_K, to, 0, 0, imm);
}

static void jump_by(struct code *c, struct ahead *a, unsigned how, unsigned to,
	unsigned from)
{
	assert(a->count < JUMPS_MAX);
	a->from[a->count++] = c->n;
	put(c, BPF_JMP | how | BPF_X, to, from, 0, 0);
}

static void land(struct code *c, struct ahead *a)
{
	for (unsigned i = 0; i < a->count; i++)
		c->list[a->from[i]].off = (int16_t)(c->n - a->from[i] - 1);
	a->count = 0;
}

/* ---- the program ---- */

#define STATE_AT(member) ((int)offsetof(struct least_state, member))

/* Its registers that calls leave alone … */
#define CONTEXT BPF_REG_6
#define STATE BPF_REG_7
#define LEAST BPF_REG_8 /* what the best one has to do */
#define ROUND BPF_REG_9
/* … and its words on the stack. */
#define KEY (-8)   /* the number of a member */
#define BEST (-16) /* the same of the best */
#define TURN (-24) /* where the round begins */
#define SOCK (-32) /* of the member */
#define LOAD (-40) /* what it has to do */
#define NOW (-48)
#define WAITERS (-56) /* the address of a list's head … */
#define AT (-64)      /* … and of its next entry */
#define MORE (-72)    /* 1, until that was the last */
#define ENTRY_AT (-80)
#define OWNER (-88)
#define LIST (-96)
#define SET (-104)
#define ZERO (-112)
#define WORD (-120)

/* Read `size` bytes at `from` + `off` of the kernel's into that word; 0 where it has
 * none there. */
static void peek(struct code *c, int word, int size, unsigned from, int off)
{
	copy(c, BPF_REG_3, from);
	if (off != 0)
		add(c, BPF_REG_3, off);
	set(c, BPF_REG_2, size);
	copy(c, BPF_REG_1, BPF_REG_10);
	add(c, BPF_REG_1, word);
	call(c, BPF_FUNC_probe_read_kernel);
}

static void peek_from(struct code *c, int word, int size, int at, int off)
{
	load(c, BPF_DW, BPF_REG_3, BPF_REG_10, at);
	peek(c, word, size, BPF_REG_3, off);
}

/* Add a word's 4 bytes to the load. */
static void add_load(struct code *c, int word)
{
	load(c, BPF_W, BPF_REG_1, BPF_REG_10, word);
	load(c, BPF_DW, BPF_REG_2, BPF_REG_10, LOAD);
	put(c, BPF_ALU64 | BPF_ADD | BPF_X, BPF_REG_2, BPF_REG_1, 0, 0);
	store(c, BPF_DW, BPF_REG_10, LOAD, BPF_REG_2);
}

/* The member in `key` is selected; R0 is not 0 if there is none. */
static void select_member(struct code *c, int members)
{
	copy(c, BPF_REG_1, CONTEXT);
	load_map(c, BPF_REG_2, members);
	copy(c, BPF_REG_3, BPF_REG_10);
	add(c, BPF_REG_3, KEY);
	set(c, BPF_REG_4, 0);
	call(c, BPF_FUNC_sk_select_reuseport);
}

/* to = STATE + the member's number × `size`: of an array at `off` of it. */
static void member_at(struct code *c, unsigned to, unsigned scratch, int shift)
{
	load(c, BPF_DW, scratch, BPF_REG_10, KEY);
	put(c, BPF_ALU64 | BPF_AND | BPF_K, scratch, 0, 0, REUSEPORT_MAX - 1);
	put(c, BPF_ALU64 | BPF_LSH | BPF_K, scratch, 0, 0, shift);
	copy(c, to, STATE);
	put(c, BPF_ALU64 | BPF_ADD | BPF_X, to, scratch, 0, 0);
}

/* R1 = 1 if the words at `a` and `b` + `off` differ, else 0: without a jump, since the
 * verifier follows each path. */
static void differ(struct code *c, int a, int b, int off)
{
	load(c, BPF_DW, BPF_REG_1, BPF_REG_10, a);
	load(c, BPF_DW, BPF_REG_2, BPF_REG_10, b);
	add(c, BPF_REG_2, off);
	put(c, BPF_ALU64 | BPF_XOR | BPF_X, BPF_REG_1, BPF_REG_2, 0, 0);
	copy(c, BPF_REG_2, BPF_REG_1);
	put(c, BPF_ALU64 | BPF_NEG, BPF_REG_2, 0, 0, 0);
	put(c, BPF_ALU64 | BPF_OR | BPF_X, BPF_REG_1, BPF_REG_2, 0, 0);
	put(c, BPF_ALU64 | BPF_RSH | BPF_K, BPF_REG_1, 0, 0, 63);
}

/* The same, and R3 |= R1. */
static void differ_too(struct code *c, int a, int b, int off)
{
	differ(c, a, b, off);
	put(c, BPF_ALU64 | BPF_OR | BPF_X, BPF_REG_3, BPF_REG_1, 0, 0);
}

/* Jump to `waits` if somebody waits for the socket.  An entry of the queue is of
 * accept(2) or poll(2), and there while they wait; or it is of an epoll set, and
 * there as long as the set has the socket.  Then somebody must wait for the set. */
static void look_for_waiters(
	struct code *c, const struct btf_place *at, struct ahead *waits)
{
	const int poll = at[POLL_WAIT].offset;
	const int head = at[HEAD].offset;

	set(c, BPF_REG_1, 0);
	store(c, BPF_DW, BPF_REG_10, ZERO, BPF_REG_1);
	set(c, BPF_REG_1, 1);
	store(c, BPF_DW, BPF_REG_10, MORE, BPF_REG_1);
	peek_from(c, WAITERS, 8, SOCK, at[WAIT_QUEUE].offset);
	load(c, BPF_DW, BPF_REG_1, BPF_REG_10, WAITERS);
	add(c, BPF_REG_1, at[WAIT].offset + head);
	store(c, BPF_DW, BPF_REG_10, WAITERS, BPF_REG_1);
	peek_from(c, AT, 8, WAITERS, 0);
	for (int i = 0; i < WAITERS_MOST; i++) {
		load(c, BPF_DW, BPF_REG_1, BPF_REG_10, AT);
		add(c, BPF_REG_1, -at[ENTRY].offset);
		store(c, BPF_DW, BPF_REG_10, ENTRY_AT, BPF_REG_1);
		peek_from(c, OWNER, 8, ENTRY_AT, at[PRIVATE].offset);
		peek_from(c, LIST, 8, ENTRY_AT, at[POLL_HEAD].offset - poll);
		peek_from(c, SET, 8, ENTRY_AT, at[POLL_ITEM].offset - poll);
		peek_from(c, SET, 8, SET, at[ITEM_SET].offset);
		peek_from(c, WORD, 8, SET, at[SET_WAIT].offset + head);
		differ(c, OWNER, ZERO, 0);
		copy(c, BPF_REG_3, BPF_REG_1);
		differ_too(c, LIST, WAITERS, -head); /* of another kind */
		differ_too(c, WORD, SET, at[SET_WAIT].offset + head);
		/* after the last one there is no more */
		differ(c, AT, WAITERS, 0);
		load(c, BPF_DW, BPF_REG_2, BPF_REG_10, MORE);
		put(c, BPF_ALU64 | BPF_AND | BPF_X, BPF_REG_2, BPF_REG_1, 0, 0);
		store(c, BPF_DW, BPF_REG_10, MORE, BPF_REG_2);
		put(c, BPF_ALU64 | BPF_AND | BPF_X, BPF_REG_3, BPF_REG_2, 0, 0);
		jump(c, waits, BPF_JNE, BPF_REG_3, 0);
		peek_from(c, AT, 8, AT, 0);
	}
}

/* R1 = LONG - R1 if that is not less than 0: without a jump, as above. */
static void rank_age(struct code *c)
{
	set(c, BPF_REG_2, LONG);
	put(c, BPF_ALU64 | BPF_SUB | BPF_X, BPF_REG_2, BPF_REG_1, 0, 0);
	copy(c, BPF_REG_4, BPF_REG_2);
	put(c, BPF_ALU64 | BPF_RSH | BPF_K, BPF_REG_4, 0, 0, 63);
	add(c, BPF_REG_4, -1);
	put(c, BPF_ALU64 | BPF_XOR | BPF_X, BPF_REG_2, BPF_REG_1, 0, 0);
	put(c, BPF_ALU64 | BPF_AND | BPF_X, BPF_REG_2, BPF_REG_4, 0, 0);
	put(c, BPF_ALU64 | BPF_XOR | BPF_X, BPF_REG_1, BPF_REG_2, 0, 0);
}

/* The member in KEY has a word of what it has to do: in its upper bits how many
 * wait; in the lower ones, if it is busy, since when. */
#define AGE_BITS 42
static void weigh(struct code *c, const struct btf_place *at)
{
	struct ahead waits = {.count = 0};
	struct ahead end = {.count = 0};

	set(c, BPF_REG_1, 0);
	store(c, BPF_DW, BPF_REG_10, LOAD, BPF_REG_1);
	peek(c, SOCK, 8, CONTEXT, at[SELECTED].offset);
	peek_from(c, WORD, 4, SOCK, at[BACKLOG].offset);
	add_load(c, WORD);
	peek_from(c, WORD, 4, SOCK, at[QUEUE].offset + at[HALF_OPEN].offset);
	add_load(c, WORD);
	look_for_waiters(c, at, &waits);
	load(c, BPF_DW, BPF_REG_3, BPF_REG_10, LOAD);
	add(c, BPF_REG_3, BUSY);
	member_at(c, BPF_REG_1, BPF_REG_2, 0);
	load(c, BPF_B, BPF_REG_1, BPF_REG_1, STATE_AT(stuck));
	put(c, BPF_ALU64 | BPF_LSH | BPF_K, BPF_REG_1, 0, 0, STUCK_BIT);
	put(c, BPF_ALU64 | BPF_ADD | BPF_X, BPF_REG_3, BPF_REG_1, 0, 0);
	put(c, BPF_ALU64 | BPF_LSH | BPF_K, BPF_REG_3, 0, 0, AGE_BITS);
	member_at(c, BPF_REG_1, BPF_REG_2, 3);
	load(c, BPF_DW, BPF_REG_2, BPF_REG_1, STATE_AT(since));
	load(c, BPF_DW, BPF_REG_1, BPF_REG_10, NOW);
	put(c, BPF_ALU64 | BPF_SUB | BPF_X, BPF_REG_1, BPF_REG_2, 0, 0);
	rank_age(c);
	put(c, BPF_ALU64 | BPF_LSH | BPF_K, BPF_REG_1, 0, 0, 12);
	put(c, BPF_ALU64 | BPF_RSH | BPF_K, BPF_REG_1, 0, 0, 64 - AGE_BITS);
	put(c, BPF_ALU64 | BPF_OR | BPF_X, BPF_REG_3, BPF_REG_1, 0, 0);
	jump(c, &end, BPF_JA, 0, 0);
	land(c, &waits);
	member_at(c, BPF_REG_1, BPF_REG_2, 0);
	put(c, BPF_ST | BPF_MEM | BPF_B, BPF_REG_1, 0, STATE_AT(stuck), 0);
	load(c, BPF_DW, BPF_REG_3, BPF_REG_10, LOAD);
	put(c, BPF_ALU64 | BPF_LSH | BPF_K, BPF_REG_3, 0, 0, AGE_BITS);
	land(c, &end);
	store(c, BPF_DW, BPF_REG_10, LOAD, BPF_REG_3);
}

/* KEY = the number of the member whose turn it is in this round. */
static void next_member(struct code *c, struct ahead *none)
{
	jump(c, none, BPF_JGE, ROUND, LOOKS_MOST);
	load(c, BPF_W, BPF_REG_1, STATE, STATE_AT(count));
	jump_by(c, none, BPF_JGE, ROUND, BPF_REG_1);
	load(c, BPF_DW, BPF_REG_2, BPF_REG_10, TURN);
	put(c, BPF_ALU64 | BPF_ADD | BPF_X, BPF_REG_2, ROUND, 0, 0);
	put(c, BPF_ALU64 | BPF_MOD | BPF_X, BPF_REG_2, BPF_REG_1, 0, 0);
	put(c, BPF_ALU64 | BPF_AND | BPF_K, BPF_REG_2, 0, 0, REUSEPORT_MAX - 1);
	put(c, BPF_ALU64 | BPF_ADD | BPF_X, BPF_REG_2, STATE, 0, 0);
	load(c, BPF_B, BPF_REG_1, BPF_REG_2, STATE_AT(number));
	store(c, BPF_DW, BPF_REG_10, KEY, BPF_REG_1);
}

static void begin(struct code *c, const struct least *l, struct ahead *end)
{
	copy(c, CONTEXT, BPF_REG_1);
	put(c, BPF_ST | BPF_MEM | BPF_DW, BPF_REG_10, 0, KEY, 0);
	load_map(c, BPF_REG_1, l->map);
	copy(c, BPF_REG_2, BPF_REG_10);
	add(c, BPF_REG_2, KEY);
	call(c, BPF_FUNC_map_lookup_elem);
	jump(c, end, BPF_JEQ, BPF_REG_0, 0);
	copy(c, STATE, BPF_REG_0);
	call(c, BPF_FUNC_ktime_get_ns);
	store(c, BPF_DW, BPF_REG_10, NOW, BPF_REG_0);
	set(c, BPF_REG_1, 1);
	put(c, BPF_STX | BPF_ATOMIC | BPF_DW, STATE, BPF_REG_1, STATE_AT(turn),
		BPF_ADD | BPF_FETCH);
	store(c, BPF_DW, BPF_REG_10, TURN, BPF_REG_1);
	/* not -1: the verifier would follow a path for each that is the first one */
	load(c, BPF_DW, LEAST, STATE, STATE_AT(none));
	set(c, ROUND, 0);
}

static void ring(struct code *c, const struct least *l)
{
	struct ahead quiet = {.count = 0};

	put(c, BPF_ALU64 | BPF_RSH | BPF_K, LEAST, 0, 0, AGE_BITS);
	jump(c, &quiet, BPF_JLT, LEAST, BUSY);
	load(c, BPF_W, BPF_REG_1, STATE, STATE_AT(rung));
	jump(c, &quiet, BPF_JNE, BPF_REG_1, 0);
	put(c, BPF_ST | BPF_MEM | BPF_W, STATE, 0, STATE_AT(rung), 1);
	load_map(c, BPF_REG_1, l->bell);
	copy(c, BPF_REG_2, BPF_REG_10);
	add(c, BPF_REG_2, KEY);
	set(c, BPF_REG_3, 8);
	set(c, BPF_REG_4, 0);
	call(c, BPF_FUNC_ringbuf_output);
	land(c, &quiet);
}

static void note_given(struct code *c)
{
	member_at(c, BPF_REG_1, BPF_REG_2, 3);
	load(c, BPF_DW, BPF_REG_2, BPF_REG_10, NOW);
	store(c, BPF_DW, BPF_REG_1, STATE_AT(since), BPF_REG_2);
	member_at(c, BPF_REG_1, BPF_REG_2, 2);
	set(c, BPF_REG_2, 1);
	put(c, BPF_STX | BPF_ATOMIC | BPF_W, BPF_REG_1, BPF_REG_2,
		STATE_AT(given), BPF_ADD);
}

/* If it selects nobody the kernel's hash chooses. */
static void write_program(
	struct code *c, const struct least *l, const struct btf_place *at)
{
	struct ahead end = {.count = 0};
	struct ahead done = {.count = 0};
	struct ahead next = {.count = 0};
	struct ahead chosen = {.count = 0};
	size_t again;

	begin(c, l, &end);
	again = c->n;
	next_member(c, &done);
	select_member(c, l->members);
	jump(c, &next, BPF_JNE, BPF_REG_0, 0);
	weigh(c, at);
	load(c, BPF_DW, BPF_REG_1, BPF_REG_10, LOAD);
	jump_by(c, &next, BPF_JGE, BPF_REG_1, LEAST);
	copy(c, LEAST, BPF_REG_1);
	load(c, BPF_DW, BPF_REG_2, BPF_REG_10, KEY);
	store(c, BPF_DW, BPF_REG_10, BEST, BPF_REG_2);
	jump(c, &chosen, BPF_JEQ, LEAST, 0);
	land(c, &next);
	add(c, ROUND, 1);
	put(c, BPF_JMP | BPF_JA, 0, 0, (int)again - (int)c->n - 1, 0);
	land(c, &done);
	load(c, BPF_DW, BPF_REG_1, STATE, STATE_AT(none));
	jump_by(c, &end, BPF_JEQ, LEAST, BPF_REG_1);
	load(c, BPF_DW, BPF_REG_1, BPF_REG_10, BEST);
	store(c, BPF_DW, BPF_REG_10, KEY, BPF_REG_1);
	select_member(c, l->members);
	ring(c, l);
	land(c, &chosen);
	note_given(c);
	land(c, &end);
	set(c, BPF_REG_0, SK_PASS);
	put(c, BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
}

/* ---- in the kernel ---- */

static int make_map(unsigned kind, unsigned key, unsigned value, unsigned most,
	unsigned flags)
{
	union bpf_attr attr = {
		.map_type = kind,
		.key_size = key,
		.value_size = value,
		.max_entries = most,
		.map_flags = flags,
	};

	return bpf(BPF_MAP_CREATE, &attr);
}

/* Map what is shared with the kernel; NULL: it cannot be had. */
static void *share(int fd, size_t size)
{
	void *at = fd != -1
		? mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0)
		: MAP_FAILED;

	return at != MAP_FAILED ? at : NULL;
}

static size_t page(void)
{
	return (size_t)sysconf(_SC_PAGESIZE);
}

static int open_maps(struct least *l)
{
	l->members = make_map(BPF_MAP_TYPE_REUSEPORT_SOCKARRAY,
		sizeof(uint32_t), sizeof(uint64_t), REUSEPORT_MAX, 0);
	if (l->members == -1)
		return -1;
	l->map = make_map(BPF_MAP_TYPE_ARRAY, sizeof(uint32_t),
		sizeof(struct least_state), 1, BPF_F_MMAPABLE);
	l->state = share(l->map, sizeof(*l->state));
	if (l->state == NULL)
		return -1;
	l->bell = make_map(BPF_MAP_TYPE_RINGBUF, 0, 0, (unsigned)page(), 0);
	l->heard = share(l->bell, page());
	return l->heard != NULL ? 0 : -1;
}

/* The verifier refuses what takes a right with other errors. */
static int why(int error)
{
	const uint64_t rights = 1ULL << CAP_PERFMON | 1ULL << CAP_BPF;
	struct capset own;

	if (capset_get(&own) == -1 ||
		(own.effective & 1ULL << CAP_SYS_ADMIN) != 0 ||
		(own.effective & rights) == rights)
		return error;
	return EPERM;
}

static int load_program(const struct least *l)
{
	struct btf_place at[PLACES];
	struct code c = {.n = 0};
	union bpf_attr attr = {
		.prog_type = BPF_PROG_TYPE_SK_REUSEPORT,
		.expected_attach_type = BPF_SK_REUSEPORT_SELECT_OR_MIGRATE,
		.insns = (uintptr_t)c.list,
		/* helpers that read the kernel's memory ask for it */
		.license = (uintptr_t) "Dual MIT/GPL",
	};

	(void)memcpy(at, wanted, sizeof(at));
	if (btf_find(at, PLACES) == -1)
		return -1;
	write_program(&c, l, at);
	attr.insn_cnt = (uint32_t)c.n;
	return bpf(BPF_PROG_LOAD, &attr);
}

int least_open(struct least *l)
{
	int error;

	*l = (struct least){
		.members = -1, .map = -1, .program = -1, .bell = -1};
	if (open_maps(l) == 0) {
		l->state->none = UINT64_MAX;
		if (getrandom(&l->state->turn, sizeof(l->state->turn),
			    GRND_NONBLOCK) == -1)
			l->state->turn = 0;
		l->program = load_program(l);
		if (l->program != -1)
			return 0;
	}
	error = why(errno);
	least_close(l);
	errno = error;
	return -1;
}

void least_close(struct least *l)
{
	if (l->state != NULL)
		(void)munmap(l->state, sizeof(*l->state));
	if (l->heard != NULL)
		(void)munmap(l->heard, page());
	l->state = NULL;
	l->heard = NULL;
	fd_close(&l->members);
	fd_close(&l->map);
	fd_close(&l->program);
	fd_close(&l->bell);
}

int least_add(const struct least *l, int fd, unsigned number)
{
	const uint32_t key = number;
	uint64_t value = 0; /* its cookie, if it is there */
	union bpf_attr attr = {
		.map_fd = (uint32_t)l->members,
		.key = (uintptr_t)&key,
		.value = (uintptr_t)&value,
	};

	if (bpf(BPF_MAP_LOOKUP_ELEM, &attr) == 0 && value == socket_cookie(fd))
		return 0;
	value = (uint64_t)fd;
	return bpf(BPF_MAP_UPDATE_ELEM, &attr);
}

int least_choose(
	const struct least *l, int fd, const uint8_t *numbers, unsigned count)
{
	(void)memcpy(l->state->number, numbers, count);
	__atomic_store_n(&l->state->count, count, __ATOMIC_RELEASE);
	return reuseport_attach(fd, l->program);
}

/* A record has a header of 8 bytes and one word; there is one, and sometimes another
 * of another CPU, for which the bell is readable again (ringbuf.rst). */
void least_hear(const struct least *l)
{
	uint64_t *heard = l->heard;

	__atomic_add_fetch(heard, 16, __ATOMIC_RELEASE);
}
