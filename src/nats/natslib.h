/* SPDX-License-Identifier: MIT */
#ifndef NATS_NATSLIB_H
#define NATS_NATSLIB_H

/*
 * libnats, found by dlopen(3) in the processes that need it: linked, it and the TLS
 * library that it pulls in would cost each process of nclust memory and time.
 * Where its header was missing when nclust was built, there is none.
 */
#if !defined(NCLUST_STATIC) && __has_include(<nats/nats.h>)
#define NATSLIB 1
#include <nats/nats.h>

#define NATSLIB_CALLS(CALL) \
	CALL(nats_GetLastError) \
	CALL(natsConnection_Buffered) \
	CALL(natsConnection_Close) \
	CALL(natsConnection_Connect) \
	CALL(natsConnection_Destroy) \
	CALL(natsConnection_FlushTimeout) \
	CALL(natsConnection_GetLastError) \
	CALL(natsConnection_GetMaxPayload) \
	CALL(natsConnection_ProcessReadEvent) \
	CALL(natsConnection_ProcessWriteEvent) \
	CALL(natsConnection_Publish) \
	CALL(natsConnection_PublishString) \
	CALL(natsConnection_SubscribeSync) \
	CALL(natsMsg_Destroy) \
	CALL(natsMsg_GetData) \
	CALL(natsMsg_GetDataLength) \
	CALL(natsOptions_Create) \
	CALL(natsOptions_SetAllowReconnect) \
	CALL(natsOptions_SetEventLoop) \
	CALL(natsOptions_SetIgnoreDiscoveredServers) \
	CALL(natsOptions_SetIOBufSize) \
	CALL(natsOptions_SetName) \
	CALL(natsOptions_SetNoEcho) \
	CALL(natsOptions_SetPingInterval) \
	CALL(natsOptions_SetSendAsap) \
	CALL(natsOptions_SetServers) \
	CALL(natsOptions_SetTimeout) \
	CALL(natsOptions_SetToken) \
	CALL(natsOptions_SetUserInfo) \
	CALL(natsStatus_GetText) \
	CALL(natsSubscription_Destroy) \
	CALL(natsSubscription_GetDropped) \
	CALL(natsSubscription_NextMsg) \
	CALL(natsSubscription_SetPendingLimits)

struct natslib {
#define CALL(name) __typeof__(name) *name;
	NATSLIB_CALLS(CALL)
#undef CALL
};

/* NULL; or why the library cannot be used. */
const char *natslib_open(struct natslib *lib);
#endif

/* NULL; or why the library cannot be used.  It stays loaded: for a process that ends soon. */
const char *natslib_try(void);

#endif
