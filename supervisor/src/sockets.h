/* Sockets that the supervisor binds itself: the daemon's listeners, and the one for notifications.
 */
#ifndef SUPERVISE_SOCKETS_H
#define SUPERVISE_SOCKETS_H

#include <sys/types.h>
#include "options.h"

/* A bound socket's place in the file system, so that it can be taken away at the end. */
struct socket_file {
	const char *path; /* NULL: none */
	dev_t device;
	ino_t inode;
};

/* The listening socket, or -1 after a log line. */
int sockets_listen(const struct listen_option *option, struct socket_file *file);

/* The notification socket at the path, or at an abstract name if it is NULL; -1 after a log line.
 * address: what NOTIFY_SOCKET is set to. */
int sockets_notify(const char *path, struct socket_file *file, char *address, size_t size);

/* Removes the file if it is still the socket that was bound. */
void sockets_unlink(const struct socket_file *file);

#endif
