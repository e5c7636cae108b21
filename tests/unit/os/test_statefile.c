/* SPDX-License-Identifier: MIT */
#include "os_lib.h"

#include "os/process.h"
#include "os/place/statefile.h"

static int at; /* the directory */
static struct statefile f;
static struct state_past past;
static struct error err;

static void set_up(void)
{
	at = open(os_dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	ck_assert_int_ne(at, -1);
}

static void fill(struct state_entry *e, uint64_t serial, pid_t pid)
{
	e->serial = serial;
	e->birth.pid = pid;
	e->birth.start = 7;
	e->phase = STATE_READY;
}

FIXTURE(os_make_dir, NULL)
FIXTURE(set_up, NULL)

TEST(what_is_written_is_read_by_the_next_one)
{
	struct state_entry *e;

	ck_assert_int_eq(statefile_read(at, &past, &err), 0);
	ck_assert_int_eq(statefile_open(&f, at, false, &err), 0);
	fill(statefile_claim(&f), 1, 100);
	e = statefile_claim(&f);
	fill(e, 2, 101);
	fill(statefile_claim(&f), 3, 102);
	statefile_free(&f, e);
	statefile_close(&f);

	ck_assert_int_eq(statefile_read(at, &past, &err), 1);
	ck_assert_uint_ge(past.count, 3);
	ck_assert_int_eq(past.entries[0].birth.pid, 100);
	ck_assert_int_eq(past.entries[1].phase, STATE_FREE);
	ck_assert_int_eq(past.entries[1].birth.pid, 0);
	ck_assert_int_eq(past.entries[2].birth.pid, 102);
	ck_assert_int_eq(past.header.pid, getpid());
	state_past_fini(&past);

	/* gone on with, each is where it was, and the hole is filled */
	ck_assert_int_eq(statefile_open(&f, at, true, &err), 0);
	ck_assert_uint_eq(statefile_at(&f, 2)->serial, 3);
	ck_assert_ptr_eq(statefile_claim(&f), statefile_at(&f, 1));
}

TEST(it_grows_and_reuses_and_ends_somewhere)
{
	struct state_entry *last = NULL;

	ck_assert_int_eq(statefile_open(&f, at, false, &err), 0);
	for (unsigned i = 0; i < 5000; i++) {
		last = statefile_claim(&f);
		ck_assert_ptr_nonnull(last);
		fill(last, i + 1, (pid_t)i + 2);
	}
	statefile_free(&f, last);
	ck_assert_ptr_eq(statefile_claim(&f), last);
	fill(last, 5000, 5001);
	ck_assert_int_eq(statefile_read(at, &past, &err), 1);
	ck_assert_uint_ge(past.count, 5000);
	ck_assert_uint_eq(past.entries[4999].serial, 5000);
	state_past_fini(&past);
	statefile_close(&f);
	ck_assert_ptr_null(statefile_claim(&f)); /* there is none any more */
	statefile_free(&f, last);
}

/* How much of the file's mapping is in our memory, KiB. */
static unsigned resident(void)
{
	FILE *maps = fopen("/proc/self/smaps", "re");
	char line[256];
	char start[32];
	unsigned rss = 0;

	ck_assert_ptr_nonnull(maps);
	snprintf(start, sizeof(start), "%08lx-", (unsigned long)f.map);
	while (fgets(line, sizeof(line), maps) != NULL && strncmp(line, start, strlen(start)) != 0)
		;
	while (fgets(line, sizeof(line), maps) != NULL && sscanf(line, "Rss: %u kB", &rss) != 1)
		;
	(void)fclose(maps);
	return rss;
}

TEST(at_rest_it_is_out_of_our_memory_and_whole)
{
	ck_assert_int_eq(statefile_open(&f, at, false, &err), 0);
	for (unsigned i = 0; i < 500; i++)
		fill(statefile_claim(&f), i + 1, 100);
	ck_assert_uint_ge(resident(), 60);
	statefile_rest(&f);
	ck_assert_uint_eq(resident(), 0);
	ck_assert_int_eq(statefile_read(at, &past, &err), 1);
	ck_assert_uint_eq(past.entries[499].serial, 500);
	state_past_fini(&past);
	ck_assert_uint_eq(statefile_at(&f, 499)->serial, 500);
}

/* The first ones ask /proc when they were born, and the others the clock. */
TEST(a_child_is_in_it_before_it_runs)
{
	struct spawn_plan plan = os_plan();
	struct process_facts facts;
	struct spawn_failure failure;
	struct state_entry *e;
	pid_t pid;
	int pidfd;

	ck_assert_int_eq(statefile_open(&f, at, false, &err), 0);
	e = statefile_claim(&f);
	plan.birth = &e->birth;
	for (int i = 0; i < 40; i++) {
		ck_assert_int_eq(spawn(&plan, &pid, &pidfd, &failure), 0);
		ck_assert_int_eq(e->birth.pid, pid);
		/* not reaped */
		ck_assert_int_eq(process_look(pid, &facts), 0);
		ck_assert_uint_eq(e->birth.start, facts.start);
		(void)os_wait(pidfd);
	}
}

TEST(one_that_was_removed_is_made_anew)
{
	struct state_entry *e;

	ck_assert_int_eq(statefile_open(&f, at, false, &err), 0);
	e = statefile_claim(&f);
	fill(e, 9, 99);
	ck_assert_int_eq(statefile_renew(&f, at, &err), 0); /* is there */
	ck_assert_int_eq(unlinkat(at, "state", 0), 0);
	ck_assert_int_eq(statefile_renew(&f, at, &err), 0);
	e->restarts = 5; /* at the same address */
	ck_assert_int_eq(statefile_read(at, &past, &err), 1);
	ck_assert_uint_eq(past.entries[0].restarts, 5);
	state_past_fini(&past);
}

/* ---- what is not believed ---- */

static struct {
	struct state_header header;
	struct state_entry entries[3];
} sample;

static int parse(size_t size)
{
	int got = state_past_parse(&past, &sample, size, &err);

	if (got == 1)
		state_past_fini(&past);
	return got;
}

static void make_sample(void)
{
	memset(&sample, 0, sizeof(sample));
	ck_assert_int_eq(state_header_here(&sample.header, &err), 0);
	fill(&sample.entries[0], 1, 100);
	fill(&sample.entries[2], 2, 101);
}

/* And the sample is a good one again. */
static void expect(int wanted)
{
	ck_assert_int_eq(parse(sizeof(sample)), wanted);
	make_sample();
}

TEST(what_is_cut_or_foreign_is_refused)
{
	make_sample();
	expect(1);
	for (size_t size = 0; size < sizeof(sample); size++) {
		if (size >= sizeof(struct state_header) && size % sizeof(struct state_entry) == 0)
			continue;
		ck_assert_int_eq(parse(size), -1);
	}
	sample.header.magic[0] = 'x';
	expect(-1);
	sample.header.version++;
	expect(-1);
	sample.header.entry_size = 64;
	expect(-1);
	sample.header.spaces[0]++;
	expect(-1);
	sample.header.spaces[1]++;
	expect(-1);
	sample.header.boot[0] ^= 1; /* of another boot: nothing */
	expect(0);
	sample.header.spaces[2]++; /* mounts differ with each start */
	expect(1);
}

TEST(an_entry_that_cannot_be_is_refused)
{
	make_sample();
	sample.entries[0].phase = STATE_PHASES;
	expect(-1);
	sample.entries[0].birth.pid = -5;
	expect(-1);
	sample.entries[0].birth.pid = 1;
	expect(-1);
	sample.entries[0].serial = 0;
	expect(-1);
	sample.entries[1].birth.pid = -5; /* free: nobody looks */
	expect(1);
}

static void must_refuse(void)
{
	ck_assert_int_eq(statefile_read(at, &past, &err), -1);
	ck_assert_int_eq(remove(os_path("state")), 0);
}

TEST(files_of_others_are_not_opened)
{
	size_t size;

	os_write(os_path("real"), "", 0600);
	ck_assert_int_eq(symlinkat("real", at, "state"), 0);
	must_refuse();
	ck_assert_int_eq(linkat(at, "real", at, "state", 0), 0);
	must_refuse();
	ck_assert_int_eq(mkfifoat(at, "state", 0600), 0);
	must_refuse();
	ck_assert_int_eq(mkdirat(at, "state", 0700), 0);
	must_refuse();
	os_write(os_path("state"), "", 0644);
	must_refuse();
	os_write(os_path("state"), "", 0600);
	ck_assert_int_eq(truncate(os_path("state"), (off_t)1 << 30), 0);
	must_refuse();
	ck_assert_int_eq(symlinkat("real", at, "estate"), 0);
	ck_assert_ptr_null(orphan_state_read(at, &size, &err));
}

TEST(the_other_file_is_replaced_as_a_whole)
{
	size_t size;
	char *data;

	ck_assert_ptr_null(orphan_state_read(at, &size, &err));
	ck_assert_int_eq(err.sys, ENOENT);
	ck_assert_int_eq(orphan_state_write(at, "one", 3), 0);
	ck_assert_int_eq(orphan_state_write(at, "another", 7), 0);
	data = orphan_state_read(at, &size, &err);
	ck_assert_uint_eq(size, 7);
	ck_assert_int_eq(memcmp(data, "another", 7), 0);
	free(data);
	ck_assert_int_eq(faccessat(at, "estate.new", F_OK, 0), -1);
}
