/* SPDX-License-Identifier: MIT */
#include "supervisor/workers/nodecommand.h"

#include "base/scope.h"
#include "base/text.h"
#include "supervisor/workers/recipe.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FIRST_LINE_MAX 256
#define SHEBANG_WORDS 16

/* ---- names ---- */

static const char *base_of(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash != NULL ? slash + 1 : path;
}

/* Is the word, up to the first of `ends`, in the list? */
static bool is_listed(const char *word, const char *ends, const char *list)
{
	size_t len = strcspn(word, ends);

	while (*list != '\0') {
		size_t n = strcspn(list, " ");

		if (n == len && strncmp(list, word, n) == 0)
			return true;
		list += n;
		list += strspn(list, " ");
	}
	return false;
}

/* "node", "nodejs", and names of some distributions: "node20", "node-20". */
static bool is_node(const char *name)
{
	if (strncmp(name, "nodejs", 6) == 0)
		name += 6;
	else if (strncmp(name, "node", 4) == 0)
		name += 4;
	else
		return false;
	if (*name == '-' && name[1] != '\0')
		name++;
	return name[strspn(name, "0123456789.")] == '\0';
}

static enum node_runtime runtime_named(const char *path)
{
	const char *name = base_of(path);

	if (is_node(name))
		return NODE_NODE;
	if (strcmp(name, "bun") == 0)
		return NODE_BUN;
	return NODE_NONE;
}

/* Programs that run others: "npm", also as the "bin/npm-cli.js" that its link leads to.  A "pm2.js"
 * elsewhere is a program of the user's own. */
static bool is_launcher(const char *path)
{
	static const char launchers[] =
		"npm npx yarn yarnpkg pnpm pnpx corepack tsx nodemon pm2 "
		"pm2-runtime pm2-dev forever bunx turbo nx lerna concurrently "
		"cross-env dotenv";
	static const char *const ends[] = {".js", ".cjs", ".mjs", "-cli", "-runner"};
	const char *base = base_of(path);
	bool is_in_bin = base - path >= 4 && strncmp(base - 4, "bin/", 4) == 0;
	char name[64];
	size_t len = text_copy(name, sizeof(name), base);

	if (len >= sizeof(name))
		return false;
	for (size_t i = 0; is_in_bin && i < COUNT_OF(ends); i++) {
		size_t end = strlen(ends[i]);

		if (len > end && strcmp(name + len - end, ends[i]) == 0) {
			len -= end;
			name[len] = '\0';
		}
	}
	return is_listed(name, "", launchers);
}

/* ---- options ---- */

/* Options with which a runtime runs no script, and options whose value is the next word. */
static const struct {
	const char *refused;
	const char *with_value;
} options[] = {
	[NODE_NODE] = {.refused = "-e -p -pe -ep -i -c -h -v --eval --print "
				  "--interactive --check --test --watch "
				  "--watch-path --run --help --version "
				  "--v8-options --prof-process "
				  "--completion-bash --build-snapshot",
		.with_value = "-r --require --import --loader --experimental-loader "
			      "-C --conditions --title --env-file "
			      "--env-file-if-exists --input-type --inspect-port "
			      "--openssl-config --redirect-warnings "
			      "--diagnostic-dir --icu-data-dir --dns-result-order "
			      "--unhandled-rejections --disable-warning "
			      "--max-http-header-size --trace-event-categories "
			      "--report-dir --report-directory --report-filename "
			      "--report-signal --heapsnapshot-signal "
			      "--tls-cipher-list --localstorage-file"},
	[NODE_BUN] = {.refused = "-e -p --eval --print --watch -h --help -v "
				 "--version "
				 "--revision --filter -F --parallel --sequential",
		.with_value = "-r --preload --require --import --cwd -c --config "
			      "--env-file --inspect-port -d --define -l --loader "
			      "--tsconfig-override --conditions"},
};

/* The script among the words after the program; NULL: there is none, or options ask for something
 * else. */
static char *const *find_script(enum node_runtime runtime, char *const *words)
{
	for (; *words != NULL; words++) {
		const char *word = *words;

		if (strcmp(word, "--") == 0)
			return words[1] != NULL ? words + 1 : NULL;
		if (*word != '-')
			return words;
		if (word[1] == '\0' || is_listed(word, "=", options[runtime].refused))
			return NULL; /* "-" is a script on stdin */
		if (strchr(word, '=') == NULL && is_listed(word, "", options[runtime].with_value)) {
			if (words[1] == NULL)
				return NULL;
			words++;
		}
	}
	return NULL;
}

/* Is the word a file?  "bun run start" may run a script of package.json, as a child of bun. */
static bool is_file(const char *word)
{
	return strchr(word, '/') != NULL || strchr(word, '.') != NULL;
}

static enum node_runtime judge_words(enum node_runtime runtime, char *const *words)
{
	char *const *script = runtime != NODE_NONE ? find_script(runtime, words) : NULL;

	if (script != NULL && runtime != NODE_NODE && strcmp(*script, "run") == 0)
		script = find_script(runtime, script + 1);
	if (script == NULL || is_launcher(*script) ||
		(runtime == NODE_NODE ? strcmp(*script, "inspect") == 0 : !is_file(*script)))
		return NODE_NONE;
	return runtime;
}

/* ---- scripts ---- */

/* Split "#!/usr/bin/env -S A=1 node --flag" into words, from "node" on. */
static size_t split_first(char *first, char **words, size_t most)
{
	bool env = false;
	size_t n = 0;
	char *word;

	if (strncmp(first, "#!", 2) != 0)
		return 0;
	first += 2;
	while (n + 1 < most && (word = strsep(&first, " \t\r\n")) != NULL) {
		if (*word == '\0')
			continue;
		if (n == 0 && !env && strcmp(base_of(word), "env") == 0)
			env = true;
		else if (n > 0 || !env || (*word != '-' && strchr(word, '=') == NULL))
			words[n++] = word;
	}
	words[n] = NULL;
	return n;
}

static enum node_runtime judge_script(const char *program, const char *first)
{
	char line[FIRST_LINE_MAX];
	char *words[SHEBANG_WORDS + 1];
	size_t n;

	text_copy(line, sizeof(line), first);
	line[strcspn(line, "\n")] = '\0';
	n = split_first(line, words, SHEBANG_WORDS);
	if (n == 0)
		return NODE_NONE;
	/* the kernel or env(1) appends the script */
	words[n] = (char *)(uintptr_t)program;
	words[n + 1] = NULL;
	return judge_words(runtime_named(words[0]), words + 1);
}

enum node_runtime nodecommand_of(const char *program, const char *first, char *const *argv)
{
	enum node_runtime runtime = runtime_named(argv[0]);

	if (is_launcher(argv[0]) || is_launcher(program))
		return NODE_NONE;
	if (runtime == NODE_NONE)
		runtime = runtime_named(program);
	if (runtime != NODE_NONE)
		return judge_words(runtime, argv + 1);
	return first != NULL ? judge_script(program, first) : NODE_NONE;
}

/* ---- shells ---- */

enum node_runtime nodecommand_in_shell(char *const *argv)
{
	scoped_str line = NULL;
	char *rest;
	char *word;

	if (!is_listed(base_of(argv[0]), "", "sh bash dash ash zsh ksh"))
		return NODE_NONE;
	for (argv++; *argv != NULL && strcmp(*argv, "-c") != 0; argv++)
		;
	if (*argv == NULL || argv[1] == NULL)
		return NODE_NONE;
	line = strdup(argv[1]);
	rest = line;
	while (rest != NULL) {
		word = strsep(&rest, " \t\n;&|(){}");
		if (runtime_named(word) != NODE_NONE)
			return runtime_named(word);
	}
	return NODE_NONE;
}

/* ---- files ---- */

static size_t read_first(const char *path, char *to, size_t size)
{
	scoped_fd fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct stat st;
	ssize_t got = -1;

	if (fd != -1 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
		got = read(fd, to, size - 1);
	to[got > 0 ? got : 0] = '\0';
	return got > 0 ? (size_t)got : 0;
}

enum node_runtime nodecommand_look(const struct recipe *r)
{
	char *const *argv = r->settings->command.list;
	char path[PATH_MAX];
	char first[FIRST_LINE_MAX];
	scoped_str real = NULL;

	if (cluster_find_program(r->settings, recipe_env(r, "PATH="), argv[0], path) != 0)
		return NODE_NONE;
	real = realpath(path, NULL);
	if (read_first(path, first, sizeof(first)) < 2 || strncmp(first, "#!", 2) != 0)
		first[0] = '\0';
	return nodecommand_of(real != NULL ? real : path, first[0] != '\0' ? first : NULL, argv);
}
