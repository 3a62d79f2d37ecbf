/*
 * Unix sockets for both ends of a test: the harness and the fake daemon.
 */
#ifndef SUPERVISE_TESTS_WIRE_H
#define SUPERVISE_TESTS_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/un.h>

#define MAX_FDS 253 /* the kernel's SCM_MAX_FD */

/* An address whose first character @ stands for a zero byte; its length. */
socklen_t fill_address(struct sockaddr_un *address, const char *path);

/* One message with descriptors, which stay the caller's. */
bool send_fds(int socket, const char *text, size_t length, const int *fds, size_t count);

#endif
