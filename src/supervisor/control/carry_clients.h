/* SPDX-License-Identifier: MIT */
#pragma once

/* How clients go through an upgrade: the control socket, a client, and its expectations. */
extern const struct carried carried_control;
extern const struct carried carried_client;
extern const struct carried carried_expectation;
