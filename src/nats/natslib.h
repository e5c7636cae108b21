/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * libnats, found by dlopen(3) in the processes that need it: linked, it and the TLS
 * library that it pulls in would cost each process of nclust memory and time.
 * Where its header was missing when nclust was built, there is none.
 */
#if !defined(NCLUST_STATIC) && __has_include(<nats/nats.h>)
#define NATSLIB 1
#include <nats/nats.h>

#define NATSLIB_CALLS \
	X(nats_GetLastError) \
	X(natsConnection_Buffered) \
	X(natsConnection_Close) \
	X(natsConnection_Connect) \
	X(natsConnection_Destroy) \
	X(natsConnection_FlushTimeout) \
	X(natsConnection_GetLastError) \
	X(natsConnection_GetMaxPayload) \
	X(natsConnection_ProcessReadEvent) \
	X(natsConnection_ProcessWriteEvent) \
	X(natsConnection_Publish) \
	X(natsConnection_SubscribeSync) \
	X(natsMsg_Destroy) \
	X(natsMsg_GetData) \
	X(natsMsg_GetDataLength) \
	X(natsOptions_Create) \
	X(natsOptions_SetAllowReconnect) \
	X(natsOptions_SetEventLoop) \
	X(natsOptions_SetIgnoreDiscoveredServers) \
	X(natsOptions_SetIOBufSize) \
	X(natsOptions_SetName) \
	X(natsOptions_SetNoEcho) \
	X(natsOptions_SetPingInterval) \
	X(natsOptions_SetSendAsap) \
	X(natsOptions_SetServers) \
	X(natsOptions_SetTimeout) \
	X(natsOptions_SetToken) \
	X(natsOptions_SetUserInfo) \
	X(natsStatus_GetText) \
	X(natsSubscription_Destroy) \
	X(natsSubscription_GetDropped) \
	X(natsSubscription_NextMsg) \
	X(natsSubscription_SetPendingLimits)

struct natslib {
#define X(name) __typeof__(name) *name;
	NATSLIB_CALLS
#undef X
};

/* NULL; or why the library cannot be used. */
const char *natslib_open(struct natslib *lib);
#endif

/* NULL; or why the library cannot be used.  It stays loaded: for a process that ends soon. */
const char *natslib_try(void);
