/* SPDX-License-Identifier: MIT */
#include "cli/trial_socket.h"

#include "base/scope.h"
#include "base/text.h"
#include "os/process.h"
#include "os/look/remote.h"
#include "os/socket/sockdiag.h"
#include "os/socket/socket_options.h"
#include "os/socket/socket.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DESCRIPTORS_MAX 4096 /* of one process */
#define INODES_MAX 1024      /* of all, sockets only */

/* /proc/net/: the states of a TCP socket that listens, and of a UDP socket that
 * is connected to nobody; net.h: __SO_ACCEPTCON */
enum { STATE_LISTEN = 0x0a, STATE_UNCONNECTED = 0x07 };
#define FLAG_ACCEPTS (1UL << 16)

/* ---- whose they are ---- */

struct owned {
	uint64_t inode;
	pid_t pid;
	int fd;
};

struct look {
	struct held *held;
	struct owned list[INODES_MAX];
	size_t count;
	pid_t leader; /* of the session */
	pid_t pid;    /* looked at just now */
};

static const struct owned *find(const struct look *look, uint64_t inode)
{
	for (size_t i = 0; i < look->count; i++)
		if (look->list[i].inode == inode)
			return &look->list[i];
	return NULL;
}

/* ---- what keeps its state in itself ---- */

static bool ends_with(const char *text, const char *end)
{
	size_t len = strlen(text);
	size_t n = strlen(end);

	return len >= n && strcmp(text + len - n, end) == 0;
}

/* `path`: of a regular file, in /proc. */
static bool is_sqlite(const char *path)
{
	static const char magic[] = "SQLite format 3";
	char head[sizeof(magic)];
	bool is;
	int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);

	if (fd == -1)
		return false;
	is = pread(fd, head, sizeof(head), 0) == (ssize_t)sizeof(head) &&
		memcmp(head, magic, sizeof(magic)) == 0;
	(void)close(fd);
	return is;
}

const struct held_file *held_file(const struct held *held, const char *path)
{
	for (size_t i = 0; i < held->file_count; i++)
		if (strcmp(held->files[i].path, path) == 0)
			return &held->files[i];
	return NULL;
}

/* An empty one may be a lock; one that has no name any more is nobody else's. */
static void note_written(struct look *look, int fd, const char *target, const struct stat *st)
{
	struct held *held = look->held;
	struct remote r;
	int flags;

	if (held->file_count == HELD_FILES || strlen(target) >= HELD_PATH || st->st_size == 0 ||
		st->st_nlink == 0 || held_file(held, target) != NULL)
		return;
	remote_of(&r, look->pid);
	flags = remote_fd_flags(&r, fd);
	if (flags == -1 || (flags & O_ACCMODE) == O_RDONLY)
		return;
	held->files[held->file_count++] =
		(struct held_file){.inode = st->st_ino, .appends = (flags & O_APPEND) != 0};
	(void)text_copy(held->files[held->file_count - 1].path, HELD_PATH, target);
}

static void note_file(struct look *look, int fd, const char *target)
{
	/* SQLite's journals, LMDB, LevelDB and RocksDB, Berkeley DB, redis */
	static const char *const ends[] = {"-wal", "-shm", "-journal", "/data.mdb", "/CURRENT",
		"/MANIFEST-000001", ".sqlite", ".sqlite3", ".bdb", ".rdb", ".aof"};
	char path[48];
	struct stat st;
	bool known = false;

	(void)snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)look->pid, fd);
	if (target[0] != '/' || strncmp(target, "/dev/", 5) == 0 ||
		strncmp(target, "/proc/", 6) == 0 || stat(path, &st) == -1 || !S_ISREG(st.st_mode))
		return;
	for (size_t i = 0; i < COUNT_OF(ends); i++)
		known |= ends_with(target, ends[i]);
	if (!known && !is_sqlite(path))
		note_written(look, fd, target, &st);
	else if (look->held->store[0] == '\0')
		(void)text_copy(look->held->store, sizeof(look->held->store), target);
}

static void note_name(struct look *look)
{
	static const char *const names[] = {"redis-server", "valkey-server", "keydb-server",
		"memcached", "mongod", "postgres", "mysqld", "mariadbd", "etcd", "influxd",
		"clickhouse-serv", "nats-server", "beam.smp"};
	char name[PROCESS_NAME];

	(void)process_name(look->pid, name);
	for (size_t i = 0; i < COUNT_OF(names); i++)
		if (strcmp(name, names[i]) == 0)
			(void)text_copy(look->held->store, sizeof(look->held->store), name);
}

static bool note_descriptor(void *context, int fd, const char *target)
{
	struct look *look = context;
	uint64_t inode = remote_socket_inode(target);

	if (inode == 0)
		note_file(look, fd, target);
	else if (look->count < INODES_MAX && find(look, inode) == NULL)
		look->list[look->count++] = (struct owned){inode, look->pid, fd};
	return false;
}

struct threads {
	unsigned count;
	unsigned running;
};

static bool count_thread(void *context, pid_t tid)
{
	struct threads *t = context;
	struct process_facts facts;

	t->count++;
	t->running += process_look(tid, &facts) == 0 && facts.state == 'R';
	return false;
}

static bool look_at_process(void *context, pid_t pid)
{
	struct look *look = context;
	struct held *held = look->held;
	struct process_facts facts;
	struct threads threads = {0};
	struct remote r;

	if (process_look(pid, &facts) == -1 || facts.session != look->leader || facts.state == 'Z')
		return false;
	look->pid = pid;
	held->processes++;
	held->cpu += facts.cpu;
	(void)process_each(pid, count_thread, &threads);
	if (threads.count > held->threads)
		held->threads = threads.count;
	if (threads.running > held->running)
		held->running = threads.running;
	note_name(look);
	remote_of(&r, pid);
	(void)remote_each_fd(&r, DESCRIPTORS_MAX, note_descriptor, look);
	return false;
}

/* ---- what they are ---- */

static struct held_socket *add(struct look *look, uint64_t inode, enum held_kind kind)
{
	const struct owned *owned = find(look, inode);
	struct held *held = look->held;
	size_t at = held->count;
	struct held_socket *s;

	if (owned == NULL || at == HELD_MAX)
		return NULL;
	/* in the order of their numbers; the kernel's is that of a hash */
	while (at > 0 && held->list[at - 1].kind == kind &&
		find(look, held->list[at - 1].inode) > owned)
		at--;
	s = &held->list[at];
	(void)memmove(s + 1, s, (held->count++ - at) * sizeof(*s));
	*s = (struct held_socket){
		.kind = kind,
		.inode = inode,
		.pid = owned->pid,
		.fd = owned->fd,
	};
	return s;
}

/* Words of 32 bits, each as the machine has it. */
static void set_address(struct held_socket *s, const char *hex, unsigned port)
{
	const char *scheme = s->kind == HELD_TCP ? "tcp" : "udp";
	char text[ENDPOINT_TEXT];
	uint32_t words[4] = {0};
	bool six = strlen(hex) > 8;

	for (size_t i = 0; i < COUNT_OF(words) && hex[8 * i] != '\0'; i++) {
		char word[9];

		(void)text_copy(word, sizeof(word), hex + 8 * i);
		words[i] = (uint32_t)strtoul(word, NULL, 16);
	}
	s->size = endpoint_make(&s->at, six ? AF_INET6 : AF_INET, words, (uint16_t)port, 0);
	(void)snprintf(s->text, sizeof(s->text), "%s:%s", scheme,
		endpoint_text(text, s->at.any.sa_family, words, (uint16_t)port));
}

/* Where the kernel chooses ports: who has such a UDP port asks, and waits for
 * an answer. */
static bool is_ephemeral(unsigned port)
{
	unsigned least = 32768;
	unsigned most = 60999;
	FILE *file = fopen("/proc/sys/net/ipv4/ip_local_port_range", "re");

	if (file != NULL) {
		if (fscanf(file, "%u %u", &least, &most) != 2)
			least = 32768;
		(void)fclose(file);
	}
	return port >= least && port <= most;
}

/* False: those that follow are no matter either. */
static bool take_internet(struct look *look, const char *line, enum held_kind kind)
{
	char hex[33];
	unsigned port;
	unsigned state;
	uint64_t inode;
	struct held_socket *s;

	if (sscanf(line,
		    " %*d: %32[0-9A-F]:%x %*[0-9A-F]:%*x %x %*x:%*x %*x:%*x "
		    "%*x %*u %*d %" SCNu64,
		    hex, &port, &state, &inode) != 4)
		return true; /* the heading */
	/* those that listen come first, before very many others */
	if (kind == HELD_TCP && state != STATE_LISTEN)
		return false;
	if (kind == HELD_UDP && (state != STATE_UNCONNECTED || is_ephemeral(port)))
		return true;
	s = add(look, inode, kind);
	if (s != NULL)
		set_address(s, hex, port);
	return true;
}

static bool take_unix(struct look *look, char *line, enum held_kind kind)
{
	unsigned long flags;
	uint64_t inode;
	int path = 0;
	struct held_socket *s;

	line[strcspn(line, "\n")] = '\0';
	if (sscanf(line, "%*s %*x %*x %lx %*x %*x %" SCNu64 " %n", &flags, &inode, &path) != 2 ||
		(flags & FLAG_ACCEPTS) == 0)
		return true;
	s = add(look, inode, kind);
	if (s == NULL)
		return true;
	s->at.un.sun_family = AF_UNIX;
	(void)text_copy(s->at.un.sun_path, sizeof(s->at.un.sun_path), path > 0 ? line + path : "");
	s->size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(s->at.un.sun_path));
	if (s->at.un.sun_path[0] == '@')
		s->at.un.sun_path[0] = '\0';
	else
		s->size++;
	(void)snprintf(s->text, sizeof(s->text), "unix:%s", path > 0 ? line + path : "");
	return true;
}

/* In the network namespace of the worker. */
static void look_at_table(struct look *look, pid_t pid, const char *name, enum held_kind kind)
{
	char path[40];
	char line[512];
	FILE *file;
	bool more = true;

	(void)snprintf(path, sizeof(path), "/proc/%d/net/%s", (int)pid, name);
	file = fopen(path, "re");
	if (file == NULL)
		return;
	while (more && fgets(line, sizeof(line), file) != NULL)
		more = kind == HELD_UNIX ? take_unix(look, line, kind)
					 : take_internet(look, line, kind);
	(void)fclose(file);
}

void held_look(struct held *held, pid_t leader)
{
	struct look look untouched;

	(void)memset(held, 0, sizeof(*held));
	look.held = held;
	look.count = 0;
	look.leader = leader;
	if (process_each(0, look_at_process, &look) == -1)
		(void)look_at_process(&look, leader);
	if (look.count == 0)
		return;
	look_at_table(&look, leader, "tcp", HELD_TCP);
	look_at_table(&look, leader, "tcp6", HELD_TCP);
	look_at_table(&look, leader, "udp", HELD_UDP);
	look_at_table(&look, leader, "udp6", HELD_UDP);
	look_at_table(&look, leader, "unix", HELD_UNIX);
}

const struct held_socket *held_by_inode(const struct held *held, uint64_t inode)
{
	for (size_t i = 0; i < held->count; i++)
		if (held->list[i].inode == inode)
			return &held->list[i];
	return NULL;
}

const struct held_socket *held_alike(const struct held *held, const struct held_socket *socket)
{
	for (size_t i = 0; i < held->count; i++)
		if (held->list[i].kind == socket->kind &&
			strcmp(held->list[i].text, socket->text) == 0)
			return &held->list[i];
	return NULL;
}

/* ---- private paths ---- */

bool held_is_private(const struct held_socket *socket)
{
	char number[16];
	const char *at;
	size_t n;

	if (socket->kind != HELD_UNIX)
		return false;
	n = (size_t)snprintf(number, sizeof(number), "%d", (int)socket->pid);
	for (at = strstr(socket->text, number); at != NULL; at = strstr(at + 1, number))
		if ((at[-1] < '0' || at[-1] > '9') && (at[n] < '0' || at[n] > '9'))
			return true;
	return false;
}

bool held_has_own(
	const struct held *held, const struct held *other, const struct held_socket *socket)
{
	if (socket->kind != HELD_UNIX)
		return false;
	for (size_t i = 0; i < other->count; i++)
		if (other->list[i].kind == HELD_UNIX && held_alike(held, &other->list[i]) == NULL)
			return true;
	return false;
}

/* ---- options ---- */

const char *held_options(const struct held_socket *socket, char *to, size_t size)
{
	struct queue_facts queue;
	struct remote r;
	scoped_fd fd = -1;
	size_t used = 0;

	to[0] = '\0';
	remote_of(&r, socket->pid);
	fd = remote_fd(&r, socket->fd);
	if (fd == -1 || socket->kind == HELD_UDP)
		return to;
	sockdiag_queue(fd, &queue);
	if (queue.limit >= 0)
		used = (size_t)snprintf(to, size, "backlog %ld", queue.limit);
	if (socket->kind == HELD_TCP && socket_has_reuseport(fd) && used < size)
		(void)snprintf(to + used, size - used, "%sSO_REUSEPORT", used > 0 ? ", " : "");
	return to;
}

/* ---- visits ---- */

/* Who listens at all addresses is found at them, too: to who connects they mean
 * this machine. */
int held_visit(const struct held_socket *s)
{
	scoped_fd fd = socket(s->at.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd == -1 || (connect(fd, &s->at.any, s->size) == -1 && errno != EINPROGRESS))
		return -1;
	return fd_release(&fd);
}
