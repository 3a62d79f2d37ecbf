/* What a descriptor is, and how to let go of one without waiting for it. */
#ifndef SUPERVISE_DESCRIPTOR_H
#define SUPERVISE_DESCRIPTOR_H

enum descriptor_kind {
	DESCRIPTOR_USERFAULTFD,
	DESCRIPTOR_PIDFD,
	DESCRIPTOR_ANONYMOUS, /* of the kernel alone: memfd, pipe, eventfd, ... */
	DESCRIPTOR_OTHER,     /* a file system's or a network's */
};

/* Asks nobody but the kernel: no file system is called. */
enum descriptor_kind descriptor_kind(int fd);

/* Closes it. close(2) may wait for a file system (flush of FUSE, NFS), and that one may belong to a
 * client of the daemon: such descriptors are closed by a thread. */
void descriptor_close(int fd);

#endif
