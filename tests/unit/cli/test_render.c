/* SPDX-License-Identifier: MIT */
#include "cli_lib.h"

#include "cli/render.h"

#include <limits.h>
#include <wchar.h>

#define HEAD "{'name':'shop','pid':77,'version':'1.0.0','uptime':7205.5,'clusters':["
#define WEB_0 \
	"{'slot':0,'pid':81,'state':'ready'," \
	"'generation':3,'uptime':11.9,'restarts':1,'cpu_percent':3.14," \
	"'memory_bytes':9437184,'next_try':null,'last_exit':{" \
	"'text':'killed by SIGSEGV','after':4.2}}"
#define WEB_1 \
	"{'slot':1,'pid':null," \
	"'state':'backoff','generation':3,'uptime':null,'restarts':12," \
	"'cpu_percent':null,'memory_bytes':null,'next_try':0.4,'last_exit':{" \
	"'text':'exit 1','after':0.3},'checks':{'ok':38,'failed':2," \
	"'last':'status 500'}}"
#define WEB(workers) \
	"{'name':'web','wanted':2,'ready':1,'generation':3,'balance':'share'," \
	"'state':'degraded','listeners':[{'name':'http'," \
	"'address':'tcp:0.0.0.0:8000','queue':0,'queue_limit':1024," \
	"'dropped':2}],'workers':[" workers "],'rollout':null}"

static const char web[] = HEAD WEB(WEB_0 "," WEB_1) "]}";
static const char shop[] = HEAD WEB(
	WEB_0 "," WEB_1) ","
			 "{'name':'thumbs','wanted':2,"
			 "'ready':2,'generation':1,'balance':'rr','state':'rolling',"
			 "'listeners':[{'name':'u','address':'unix:/run/u','queue':null}],"
			 "'workers':[{'slot':0,'pid':100001,'state':'ready','generation':2,"
			 "'uptime':0.2,'restarts':0,'cpu_percent':100,'memory_bytes':524288,"
			 "'last_exit':null},{'slot':0,'pid':90,'state':'draining',"
			 "'generation':1,'uptime':100000,'restarts':0,'cpu_percent':0,"
			 "'memory_bytes':2147483648,'last_exit':null}],'rollout':{'to':2,"
			 "'done':1,'of':2,'step':'waiting for thumbs.1','since':0.8}}]}";

static const char shop_table[] =
	"shop  pid 77, version 1.0.0, up 120 min\n"
	"\n"
	"web  degraded, 1 of 2 ready, generation 3\n"
	"  listening on tcp:0.0.0.0:8000 (http), queue 0 of 1024, 2 dropped\n"
	"  SLOT   PID  STATE    UP    RESTARTS  CPU%   MEM  LAST EXIT\n"
	"  web.0   81  ready    12 s         1   3.1  9.0M  "
	"killed by SIGSEGV after 4.2 s\n"
	"  web.1    -  backoff  -           12     -     -  "
	"exit 1 after 0.3 s, next try in 0.4 s\n"
	"      2 of 40 checks failed, the last one: status 500\n"
	"\n"
	"thumbs  rolling, 2 of 2 ready, generation 1, balance rr\n"
	"  listening on unix:/run/u\n"
	"  rolling to generation 2: 1 of 2 done, waiting for thumbs.1 (0.8 s)\n"
	"  SLOT      GEN     PID  STATE     UP     RESTARTS   CPU%   MEM  LAST "
	"EXIT\n"
	"  thumbs.0    2  100001  ready     0.2 s         0  100.0  512K  -\n"
	"  thumbs.0    1      90  draining  28 h          0    0.0  2.0G  -\n";

/* In 40 columns some give way, and what is said of an exit goes on below. */
static const char web_in_40[] = "web  degraded, 1 of 2 ready, generation\n"
				"    3\n"
				"  listening on tcp:0.0.0.0:8000 (http),\n"
				"    queue 0 of 1024, 2 dropped\n"
				"  SLOT  PID  STATE    UP    LAST EXIT\n"
				"  0      81  ready    12 s\n"
				"      killed by SIGSEGV after 4.2 s\n"
				"  1       -  backoff  -\n"
				"      exit 1 after 0.3 s,\n"
				"      next try in 0.4 s\n"
				"      2 of 40 checks failed, the last\n"
				"      one: status 500\n";

static struct buffer out;
static struct wrap lines;
static struct render render;

static void setup(void)
{
	(void)setenv("LC_ALL", "C.UTF-8", 1);
	wrap_locale();
	buffer_init(&out, 0);
	wrap_init(&lines, &out, 0, false);
	render = (struct render){.lines = &lines};
}

static void teardown(void)
{
	wrap_fini(&lines);
	buffer_fini(&out);
}

static const char *show_status(const json_t *status)
{
	buffer_clear(&out);
	render_status(&render, status);
	return buffer_text(&out);
}

static const char *show(const char *json)
{
	json_t *status = json_of(json);
	const char *text;

	text = show_status(status);
	json_decref(status);
	return text;
}

static int exit_of(const char *json, bool slot)
{
	struct tally tally = {0};
	json_t *status = json_of(json);

	tally_add(&tally, status, slot);
	json_decref(status);
	return tally_exit_status(&tally);
}

FIXTURE(setup, teardown)

TEST(a_status_is_a_table)
{
	ck_assert_str_eq(show(shop), shop_table);
}

/* A cluster `w` with these members: pieces that are shown, and that are not. */
static const struct {
	const char *members;
	const char *pieces[4];
	const char *none[3];
} shown[] = {
	/* an end that was asked for is not */
	{"'workers':[{'slot':0,'state':'ready','last_exit':{'text':'exit 0',"
	 "'asked':true}},{'slot':1,'state':'ready','last_exit':{"
	 "'text':'exit 0','asked':true},'last_failure':null}]",
		{"w.1"}, {"exit 0"}},
	/* the cause stands once */
	{"'trouble':{'tries':9,"
	 "'text':'not once ready in 9 tries; exit 1; no port'},"
	 "'failed_restart':{'text':'last restart failed'},"
	 "'workers':[{'slot':0,'state':'backoff','last_failure':{"
	 "'text':'exit 1','after':0.1,'ago':2,'cause':'no port'}},{'slot':1,"
	 "'state':'backoff','last_failure':{'text':'exit 2','after':0.1,"
	 "'ago':2,'last_output':'no \\u001bdisk'}}]",
		{"\n  not once ready in 9 tries; exit 1; no port\n"
		 "  last restart failed\n  SLOT",
			"exit 1 after 0.1 s, 2.0 s ago\n  w.1",
			"exit 2 after 0.1 s, 2.0 s ago\n"
			"      last output: no \\x1bdisk\n"},
		{NULL}},
	/* what else is known of a worker; it is ready: its predecessor's trouble
	 * is over; and a slot without a worker is of no other generation */
	{"'generation':2,'workers':[{'slot':0,'state':'ready','generation':2,"
	 "'stopped':true,'status':'warm','last_exit':{'text':'exit 0',"
	 "'asked':true},'last_failure':{'text':'exit 7','after':0.5,'ago':61,"
	 "'cause':'no disk'}},{'slot':1,'state':'failed','generation':null}],"
	 "'rollout':{'to':3,'done':1,'of':2,'going_back':true}",
		{"ready, stopped", "exit 7 after 0.5 s, 61 s ago\n      says 'warm'\n",
			"rolling back from generation 3"},
		{"no disk", "GEN"}},
	{"'workers':[{'slot':0,'state':'ready','cgroup':{'pressure':{'cpu':9.9,"
	 "'memory':23.4,'io':10}}}]",
		{"waits for memory 23% of the time", "waits for io 10% of the time"}, {"a CPU"}},
};

TEST_LOOP(what_is_known_is_shown, 0, (int)COUNT_OF(shown))
{
	char json[1000];
	const char *text;

	snprintf(json, sizeof(json), "{'clusters':[{'name':'w',%s}]}", shown[_i].members);
	text = show(json);
	for (size_t i = 0; shown[_i].pieces[i] != NULL; i++)
		has(text, shown[_i].pieces[i]);
	for (size_t i = 0; shown[_i].none[i] != NULL; i++)
		has_no(text, shown[_i].none[i]);
}

TEST(colours_wrap_words_and_no_padding)
{
	lines.colour = true;
	has(show(web), "\033[31mdegraded\033[0m, 1 of 2 ready");
	has(show(web), "  \033[32mready\033[0m    12 s");
}

TEST(narrow_lines_go_on_below)
{
	lines.width = 40;
	ck_assert_str_eq(strstr(show(web), "\n\n") + 2, web_in_40);
}

TEST(long_names_are_shown_whole)
{
	const char *text;

	lines.width = 50;
	text = show("{'name':'an-instance-of-a-very-very-long-name-1',"
		    "'clusters':[{'name':'a-cluster-of-a-long-name',"
		    "'state':'running','listeners':[{'name':'l',"
		    "'address':'unix:/run/a/very/long/path/to/it.sock'}],"
		    "'workers':[{'slot':7,'state':'ready'}]}]}");
	has(text, "an-instance-of-a-very-very-long-name-1");
	has(text, "\n  listening on\n    unix:/run/a/very/long/path/to/it.sock (l)\n");
	/* too long to stand before each slot */
	has(text, "\n  7 ");
}

/* ---- many workers ---- */

static json_t *worker_of(long slot, const char *state)
{
	return json_pack("{s:I,s:I,s:s,s:i,s:f,s:i,s:f,s:i,s:n}", "slot", (json_int_t)slot, "pid",
		(json_int_t)(1000 + slot), "state", state, "generation", 3, "uptime",
		7200. + (double)slot, "restarts", 1, "cpu_percent", 0.5, "memory_bytes", 1 << 20,
		"last_failure");
}

static json_t *cluster_of(long count)
{
	json_t *workers = json_array();

	for (long i = 0; i < count; i++)
		(void)json_array_append_new(workers, worker_of(i, "ready"));
	return json_pack("{s:s,s:[{s:s,s:s,s:I,s:I,s:i,s:o}]}", "name", "shop", "clusters", "name",
		"web", "state", "running", "wanted", (json_int_t)count, "ready", (json_int_t)count,
		"generation", 3, "workers", workers);
}

static json_t *cluster_in(const json_t *status)
{
	return json_array_get(json_object_get(status, "clusters"), 0);
}

/* These members of that worker are so. */
static void set(json_t *status, size_t worker, const char *members)
{
	json_t *workers = json_object_get(cluster_in(status), "workers");
	json_t *value = json_of(members);

	ck_assert_int_eq(json_object_update(json_array_get(workers, worker), value), 0);
	json_decref(value);
}

static void fail_worker(json_t *status, size_t i, const char *cause)
{
	char members[200];

	snprintf(members, sizeof(members),
		"{'state':'backoff','pid':null,'uptime':null,'last_failure':{"
		"'text':'exit 1','after':0.1,'ago':2,'last_output':'%s'}}",
		cause);
	set(status, i, members);
}

static size_t line_count(const char *text)
{
	size_t count = 0;

	for (; *text != '\0'; text++)
		count += *text == '\n';
	return count;
}

TEST(many_that_are_alike_share_a_row)
{
	json_t *status = cluster_of(200);
	const char *text;

	lines.width = 80;
	fail_worker(status, 57, "no disk");
	text = show_status(status);
	has(text,
		"  SLOT             PID  STATE    UP        RESTARTS  CPU%   "
		"MEM  LAST EXIT\n"
		"  web.0-56     57 pids  ready    120 min+        57  28.5   "
		"57M  -\n"
		"  web.57             -  backoff  -                1   0.5  "
		"1.0M\n"
		"      exit 1 after 0.1 s, 2.0 s ago\n"
		"      last output: no disk\n"
		"  web.58-199  142 pids  ready    121 min+       142  71.0  "
		"142M  -\n");
	json_decref(status);
}

TEST(few_have_a_row_each)
{
	json_t *status = cluster_of(RENDER_MANY);

	ck_assert_uint_eq(line_count(show_status(status)), RENDER_MANY + 4);
	/* not where the screen has too few lines */
	render.rows = 12;
	has(show_status(status), "\n  web.0-15  16 pids");
	render.each = true;
	ck_assert_uint_eq(line_count(show_status(status)), RENDER_MANY + 4);
	json_decref(status);
}

TEST(what_is_not_ordinary_has_its_own_row)
{
	static const char *const pieces[] = {"\n  web.0-9 ", "\n  web.10 ", "ready, stopped",
		"\n  web.20 ", "\n  web.30 ", "\n  web.40 ", "\n  web.41-59 ",
		"50: exit 8 after 17 min, 8 h ago", "\n  web.60-99 "};
	json_t *status = cluster_of(100);
	const char *text;

	set(status, 10, "{'stopped':true}");
	set(status, 20, "{'state':'starting'}");
	set(status, 30, "{'checks':{'ok':5,'failed':1,'last':'status 500'}}");
	set(status, 40, "{'last_failure':{'text':'exit 9','after':1000,'ago':300}}");
	/* an old failure is part of the group, and so is a check of thousands */
	set(status, 50, "{'last_failure':{'text':'exit 8','after':1000,'ago':30000}}");
	set(status, 51, "{'checks':{'ok':5000,'failed':1}}");
	for (size_t i = 60; i < 100; i++)
		set(status, i, "{'generation':4}");
	text = show_status(status);
	for (size_t i = 0; i < COUNT_OF(pieces); i++)
		has(text, pieces[i]);
	ck_assert_uint_eq(line_count(text), 4 + 10 + 1); /* the check that failed */
	json_decref(status);
}

TEST(a_thousand_that_fail_alike_share_a_row)
{
	json_t *status = cluster_of(1000);

	for (size_t i = 0; i < 1000; i++)
		fail_worker(status, i, i % 2 == 0 ? "no disk" : "no disk, again");
	has(show_status(status), "\n  web.0-999 ");
	ck_assert_uint_eq(line_count(show_status(status)), 6);
	render.each = true;
	ck_assert_uint_gt(line_count(show_status(status)), 1000);
	json_decref(status);
}

/* ---- any bytes, any width ---- */

static unsigned dice(unsigned *seed, unsigned sides)
{
	*seed = *seed * 1103515245U + 12345U;
	return (*seed >> 16) % sides;
}

/* Words of all kinds, of which some are hostile. */
static json_t *some_text(unsigned *seed, unsigned most)
{
	static const char *const kinds[] = {"a", "database", "/var/lib/a",
		"\xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e", /* wide */
		"e\xcc\x81",                            /* combining */
		"\xf0\x9f\x98\x80", "\\x1b", "x", "\033[2J", "\xff\xfe", "\r\n", "\t",
		"\xe2\x80\xae", "\xc2\x9b", "\xe6\x97", "\x01", "\x10", "\x06", "   ",
		"\xf3\xb0\x80\x80", "\xed\xa0\x80", "\x7f"};
	unsigned count = dice(seed, most + 1);
	struct buffer text;
	json_t *value;

	buffer_init(&text, 0);
	buffer_string(&text, "");
	for (unsigned i = 0; i < count; i++) {
		unsigned times = dice(seed, 40) == 0 ? 60 : 1 + dice(seed, 3);
		const char *word = kinds[dice(seed, COUNT_OF(kinds))];

		for (unsigned k = 0; k < times; k++)
			buffer_string(&text, word);
		if (dice(seed, 4) > 0)
			buffer_string(&text, " ");
	}
	value = json_stringn_nocheck(text.data != NULL ? text.data : "", text.len);
	buffer_fini(&text);
	return value;
}

static json_t *some_worker(unsigned *seed, long slot)
{
	json_t *worker = worker_of(slot, "backoff");

	(void)json_object_update_new(worker,
		json_pack("{s:{s:i,s:i,s:o,s:o,s:o},s:o}", "last_failure", "after",
			dice(seed, 9999), "ago", dice(seed, 9999), "text", some_text(seed, 4),
			"cause", some_text(seed, 30 * dice(seed, 2)), "last_output",
			some_text(seed, 30), "status", some_text(seed, 9)));
	if (dice(seed, 4) == 0)
		(void)json_object_set_new(worker, "state", some_text(seed, 3));
	return worker;
}

static json_t *some_status(unsigned *seed)
{
	json_t *status = cluster_of(0);
	json_t *cluster = cluster_in(status);
	json_t *workers = json_object_get(cluster, "workers");
	unsigned count = 1 + dice(seed, 40);

	for (long i = 0; i < (long)count; i++)
		(void)json_array_append_new(workers, some_worker(seed, i));
	(void)json_object_update_new(cluster,
		json_pack("{s:[{s:o,s:o}],s:{s:o},s:{s:o},s:{s:o},s:o,s:o}", "listeners", "address",
			some_text(seed, 4), "name", some_text(seed, 4), "trouble", "text",
			some_text(seed, 40), "failed_restart", "text", some_text(seed, 40),
			"rollout", "step", some_text(seed, 10), "name", some_text(seed, 5), "state",
			some_text(seed, 5)));
	(void)json_object_set_new(status, "name", some_text(seed, 5));
	return status;
}

/* The widest line; each must be text.  (An assertion that holds costs a write.) */
static size_t widest(const char *text)
{
	size_t columns = 0;
	size_t most = 0;

	while (*text != '\0') {
		wchar_t c = L'\0';
		int n = mbtowc(&c, text, MB_LEN_MAX);

		if (n <= 0 || (wcwidth(c) < 0 && c != L'\n' && c != L'\033'))
			ck_abort_msg("no text: %.20s", text);
		if (c == L'\n')
			columns = 0;
		else if (c == L'\033')
			text = strchr(text, 'm');
		else
			columns += (size_t)wcwidth(c);
		most = columns > most ? columns : most;
		text += n;
	}
	return most;
}

TEST_LOOP(no_line_is_too_wide, 0, 300)
{
	unsigned seed = (unsigned)_i;
	json_t *status = some_status(&seed);
	const char *text;

	lines.width = 40 + dice(&seed, 100);
	lines.colour = dice(&seed, 2) == 0;
	render.each = true;
	text = show_status(status);
	ck_assert_uint_le(widest(text), lines.width);
	render.each = false;
	text = show_status(status);
	ck_assert_uint_le(widest(text), lines.width);
	json_decref(status);
}

TEST(missing_and_strange_fields_are_dashes)
{
	static const char *const strange[] = {"{}", "{'clusters':7}", "{'clusters':[7,null,[]]}",
		"{'clusters':[{'workers':[7,{}],'listeners':[7,{}]}]}",
		"{'name':7,'pid':'x','uptime':-1e300}",
		("{'clusters':[{'workers':[{'slot':-1e300,'uptime':1e300,"
		 "'memory_bytes':1e300,'next_try':-5}]}]}")};

	for (size_t i = 0; i < COUNT_OF(strange); i++) {
		ck_assert_ptr_nonnull(show(strange[i]));
		(void)exit_of(strange[i], true);
	}
}

TEST(the_exit_status_counts_ready_workers)
{
	static const char format[] = "{'clusters':[{'name':'a','wanted':%d,'ready':%d},"
				     "{'name':'b','wanted':%d,'ready':%d}]}";
	static const struct {
		int wanted[2], ready[2];
		int status;
	} table[] = {{{2, 1}, {2, 1}, 0}, {{2, 1}, {1, 1}, 1}, {{2, 1}, {0, 1}, 1},
		{{2, 1}, {0, 0}, 2}, {{0, 0}, {0, 0}, 0}, /* parked: none is wanted */
		{{2, 1}, {3, 0}, 1},                      /* a surplus helps no other cluster */
		{{2, 1}, {3, 1}, 0}};

	for (size_t i = 0; i < COUNT_OF(table); i++) {
		char json[200];

		snprintf(json, sizeof(json), format, table[i].wanted[0], table[i].ready[0],
			table[i].wanted[1], table[i].ready[1]);
		ck_assert_int_eq(exit_of(json, false), table[i].status);
	}
	ck_assert_int_eq(exit_of("{'clusters':[]}", false), 0);
}

TEST(the_exit_status_of_a_slot_is_that_of_its_worker)
{
	ck_assert_int_eq(exit_of(web, false), 1);
	ck_assert_int_eq(exit_of(HEAD WEB(WEB_0) "]}", true), 0);
	ck_assert_int_eq(exit_of(HEAD WEB(WEB_1) "]}", true), 2);
	ck_assert_int_eq(exit_of(HEAD WEB("") "]}", true), 2);
}
