/* SPDX-License-Identifier: MIT */
#pragma once

/* How helpers go through an upgrade: helpers without an owner, and one in the group of its
 * owner. */
extern const struct carried carried_ending;
extern const struct carried carried_helper;

/* How all hooks, and one command, go through an upgrade. */
extern const struct carried carried_hooks;
extern const struct carried carried_hook;
