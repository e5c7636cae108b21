/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/error.h"

#include <stddef.h>

/*
 * "nats://[USER:PASSWORD@]HOST[:PORT][,HOST[:PORT]]...[/PREFIX]": the brokers by which
 * `relay` reaches other machines.  The parts stand in the text, and are valid
 * as long as it is.  A user without a password is a token.
 */
struct natsurl {
	const char *user; /* and password, as written */
	size_t user_len;  /* 0: none */
	const char *hosts;
	size_t hosts_len;
	const char *prefix; /* of subjects, to the end of the text */
};

/* The URL of a setting that may have other values. */
bool natsurl_is(const char *text);
/* -1 and `err`, which never shows the user or the password. */
int natsurl_parse(struct natsurl *url, const char *text, struct error *err);
/* Is it a subject: words of letters, digits, '_' and '-', with dots between? */
bool natsurl_is_subject(const char *text);
