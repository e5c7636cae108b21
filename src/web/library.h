/* SPDX-License-Identifier: MIT */
#ifndef WEB_LIBRARY_H
#define WEB_LIBRARY_H

#include <microhttpd.h>

/*
 * libmicrohttpd, found by dlopen(3): linked, it and the TLS library that it pulls
 * in would cost each process of nclust 2.6 MiB and 1 ms of its start.
 */
#define LIBRARY_NAME "libmicrohttpd.so.12"

struct library {
	__typeof__(MHD_start_daemon) *start_daemon;
	__typeof__(MHD_stop_daemon) *stop_daemon;
	__typeof__(MHD_add_connection) *add_connection;
	__typeof__(MHD_run) *run;
	__typeof__(MHD_get_timeout) *get_timeout;
	__typeof__(MHD_get_daemon_info) *get_daemon_info;
	__typeof__(MHD_get_connection_info) *get_connection_info;
	__typeof__(MHD_lookup_connection_value) *lookup_connection_value;
	__typeof__(MHD_create_response_from_buffer) *create_response_from_buffer;
	__typeof__(MHD_create_response_from_callback) *create_response_from_callback;
	__typeof__(MHD_add_response_header) *add_response_header;
	__typeof__(MHD_queue_response) *queue_response;
	__typeof__(MHD_destroy_response) *destroy_response;
	__typeof__(MHD_suspend_connection) *suspend_connection;
	__typeof__(MHD_resume_connection) *resume_connection;
};

/* 0; or -1: it cannot be loaded, or is not what it should be. */
int library_open(struct library *library);

#endif
