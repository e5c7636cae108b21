/* SPDX-License-Identifier: MIT */
#include "../unit.h"

#include "base/scope.h"
#include "supervisor/workers/nodecommand.h"

#include <stdlib.h>

#define WORDS 10
#define ENV "#!/usr/bin/env node\n"

static const struct {
	const char *argv[WORDS];
	const char *program; /* behind links */
	const char *first;
	enum node_runtime runtime;
} commands[] = {
	{{"node", "app.js"}, "/usr/bin/node", NULL, NODE_NODE},
	{{"nodejs", "app.js"}, "/usr/bin/node", NULL, NODE_NODE},
	{{"/opt/node-20.1/bin/node", "a.js"}, "/opt/x", NULL, NODE_NODE},
	{{"node20", "app.js"}, "/usr/bin/node20", NULL, NODE_NODE},
	{{"server", "app.js"}, "/usr/bin/node", NULL, NODE_NODE},
	{{"node", "--inspect", "app.js", "-e"}, "/usr/bin/node", NULL, NODE_NODE},
	{{"node", "-r", "./test", "app.js"}, "/usr/bin/node", NULL, NODE_NODE},
	{{"node", "--", "app.js"}, "/usr/bin/node", NULL, NODE_NODE},
	{{"./app.js", "-e"}, "/srv/app.js", ENV, NODE_NODE},
	{{"./app.js"}, "/srv/app.js", "#!/usr/bin/env -S node --x\n", NODE_NODE},
	{{"./app"}, "/srv/app", "#!/usr/bin/node\n", NODE_NODE},
	{{"bun", "app.ts"}, "/opt/bun", NULL, NODE_BUN},
	{{"bun", "run", "./app.ts"}, "/opt/bun", NULL, NODE_BUN},
	{{"deno", "run", "-A", "app.ts"}, "/opt/deno", NULL, NODE_NONE},

	{{"node"}, "/usr/bin/node", NULL, NODE_NONE},
	{{"node", "-"}, "/usr/bin/node", NULL, NODE_NONE},
	{{"node", "-e", "1"}, "/usr/bin/node", NULL, NODE_NONE},
	{{"node", "--eval=1"}, "/usr/bin/node", NULL, NODE_NONE},
	{{"node", "-p", "1"}, "/usr/bin/node", NULL, NODE_NONE},
	{{"node", "-r", "./x", "-e", "1"}, "/usr/bin/node", NULL, NODE_NONE},
	{{"node", "--test", "a.js"}, "/usr/bin/node", NULL, NODE_NONE},
	{{"node", "--watch", "a.js"}, "/usr/bin/node", NULL, NODE_NONE},
	{{"node", "--run", "start"}, "/usr/bin/node", NULL, NODE_NONE},
	{{"node", "-c", "a.js"}, "/usr/bin/node", NULL, NODE_NONE},
	{{"node", "inspect", "a.js"}, "/usr/bin/node", NULL, NODE_NONE},
	{{"npm", "start"}, "/usr/share/npm/bin/npm-cli.js", ENV, NODE_NONE},
	{{"node", "/usr/share/npm/bin/npm-cli.js", "start"}, "/usr/bin/node", NULL, NODE_NONE},
	{{"node", "pm2.js"}, "/usr/bin/node", NULL, NODE_NODE},
	{{"./nx.js"}, "/srv/shop/nx.js", ENV, NODE_NODE},
	{{"node", "node_modules/nodemon/bin/nodemon.js", "a.js"}, "/usr/bin/node", NULL, NODE_NONE},
	{{"tsx", "a.ts"}, "/srv/tsx/dist/cli.mjs", ENV, NODE_NONE},
	{{"./nodemon", "a.js"}, "/srv/nodemon.js", ENV, NODE_NONE},
	{{"pm2-runtime", "a.js"}, "/srv/pm2-runtime", ENV, NODE_NONE},
	{{"bun", "run", "start"}, "/opt/bun", NULL, NODE_NONE},
	{{"bun", "test", "a.ts"}, "/opt/bun", NULL, NODE_NONE},
	{{"bun", "--watch", "a.ts"}, "/opt/bun", NULL, NODE_NONE},
	{{"nodetool", "status"}, "/usr/bin/nodetool", NULL, NODE_NONE},
	{{"./app.py"}, "/srv/app.py", "#!/usr/bin/env python3\n", NODE_NONE},
	{{"./app"}, "/srv/app", "#!", NODE_NONE},
	{{"./app"}, "/srv/app", "#!/usr/bin/env\n", NODE_NONE},
	{{"sh", "-c", "node a.js"}, "/bin/dash", NULL, NODE_NONE},
};

TEST_LOOP(a_command_runs_node_or_it_does_not, 0, COUNT_OF(commands))
{
	char *const *argv = (char *const *)(uintptr_t)commands[_i].argv;

	ck_assert_int_eq(nodecommand_of(commands[_i].program, commands[_i].first, argv),
		commands[_i].runtime);
}

static const struct {
	const char *argv[WORDS];
	enum node_runtime runtime;
} shells[] = {
	{{"sh", "-c", "node a.js"}, NODE_NODE},
	{{"/bin/bash", "-e", "-c", "cd x && exec node a.js; true"}, NODE_NODE},
	{{"sh", "-c", "(bun a.ts)"}, NODE_BUN},
	{{"sh", "-c", "nodetool a.js"}, NODE_NONE},
	{{"sh", "-c"}, NODE_NONE},
	{{"sh", "node"}, NODE_NONE},
	{{"perl", "-c", "node"}, NODE_NONE},
};

TEST_LOOP(a_shell_runs_node_or_it_does_not, 0, COUNT_OF(shells))
{
	char *const *argv = (char *const *)(uintptr_t)shells[_i].argv;

	ck_assert_int_eq(nodecommand_in_shell(argv), shells[_i].runtime);
}
