/* SPDX-License-Identifier: MIT */
#ifndef CLOSER_CLOSER_H
#define CLOSER_CLOSER_H

/*
 * The process that closes descriptors which workers of another user have made.
 * close(2) waits in it as long as it likes: for what SO_LINGER wants to be sent,
 * for a file server that does not answer (socket(7); FUSE and NFS flush at
 * close(2)).  nclust sends packets of one byte with descriptors, and after each,
 * when it has closed its own copies, one without.  It gets a byte back for each
 * descriptor that is closed (supervisor/common/foreign.h).  Its end is that
 * of the channel.  An exit status.
 */
int closer_main(int channel);

#endif
