/* SPDX-License-Identifier: MIT */
/*
 * The worker of the bench: ready at once, and then idle.  It says READY=1 to
 * its supervisor, where that has given it a NOTIFY_SOCKET, and its pid to the
 * observer at BENCH_SOCKET, whoever the supervisor is.
 */
#include "bench.h"

int main(void)
{
	const char *supervisor = getenv("NOTIFY_SOCKET");
	const char *observer = getenv("BENCH_SOCKET");
	char text[32];

	(void)alarm(600);
	if (supervisor)
		bench_send(supervisor, "READY=1");
	if (observer) {
		snprintf(text, sizeof(text), "%d", (int)getpid());
		bench_send(observer, text);
	}
	for (;;)
		(void)pause();
}
