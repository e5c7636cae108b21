/* SPDX-License-Identifier: MIT */
#include "os_lib.h"

#include "os/look/look.h"

#include <sched.h>

static void end(pid_t pid)
{
	ck_assert_int_eq(kill(-pid, SIGKILL), 0);
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
}

static int say_and_pause(void *said)
{
	(void)!write(*(int *)said, "x", 1);
	(void)pause();
	return 0;
}

/* Until its child has called exec or exited, no signal wakes it but SIGKILL. */
static void wait_for_child(int said)
{
	static _Alignas(16) char stack[16384];

	(void)setpgid(0, 0);
	(void)clone(say_and_pause, stack + sizeof(stack), CLONE_VFORK | SIGCHLD, &said);
}

static void sleep_on(int said)
{
	(void)setpgid(0, 0);
	(void)!write(said, "x", 1);
	(void)pause();
}

#define TEXT 120

/* What is said of it when it is in that state: it may still be on its way there.  (The test has a
 * time limit.) */
static void say_when(const char *state, pid_t pid, char text[TEXT])
{
	while (strstr(why_alive(pid, text, TEXT), state) == NULL)
		(void)usleep(1000);
}

NATIVE_TEST(one_that_waits_in_the_kernel_is_said_to)
{
	pid_t pid = os_start(wait_for_child);
	char text[TEXT];

	say_when("state D", pid, text);
	end(pid);
	ck_assert_msg(strstr(text, "it waits in the kernel (") != NULL, "%s", text);
	ck_assert_msg(strstr(text, "state D)") != NULL, "%s", text);
}

NATIVE_TEST(so_is_the_state_of_another)
{
	pid_t pid = os_start(sleep_on);
	char text[TEXT];

	say_when("state S", pid, text);
	end(pid);
	ck_assert_msg(strstr(text, "it is in ") != NULL, "%s", text);
}

TEST(of_one_that_has_ended_there_is_nothing_to_say)
{
	pid_t pid = os_start(sleep_on);
	char text[TEXT];
	siginfo_t info;

	ck_assert_int_eq(kill(pid, SIGKILL), 0);
	ck_assert_int_eq(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
	ck_assert_str_eq(why_alive(pid, text, sizeof(text)), "");
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
	ck_assert_str_eq(why_alive(pid, text, sizeof(text)), "");
}
