/* SPDX-License-Identifier: MIT */
/* A program that is run for each connection, and has least to do. */
#include <unistd.h>

int main(void)
{
	static const char answer[] = "HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nok\n";
	char request[4096];

	return read(0, request, sizeof(request)) <= 0 || write(1, answer, sizeof(answer) - 1) == -1;
}
