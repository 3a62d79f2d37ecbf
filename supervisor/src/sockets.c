#include <errno.h>
#include <limits.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include "log.h"
#include "sockets.h"

#define BACKLOG 4096

/* Returns the length for bind(2) and connect(2), 0 if the path is too long. */
static socklen_t fill_address(struct sockaddr_un *address, const char *path)
{
	size_t length = strlen(path);

	*address = (struct sockaddr_un){.sun_family = AF_UNIX};
	if (length >= sizeof(address->sun_path))
		return 0;
	memcpy(address->sun_path, path, length);
	if (path[0] != '@')
		return sizeof(*address);
	address->sun_path[0] = 0;
	return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length);
}

/* A socket that nobody listens on is what a killed predecessor has left behind. */
static bool remove_stale(const char *path, int type)
{
	struct sockaddr_un address;
	socklen_t length = fill_address(&address, path);
	struct stat status;
	int error, fd;

	if (lstat(path, &status) != 0)
		return errno == ENOENT;
	if (!S_ISSOCK(status.st_mode)) {
		log_line("%s exists and is not a socket", path);
		return false;
	}
	fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return false;
	error = connect(fd, (struct sockaddr *)&address, length) == 0 ? 0 : errno;
	close(fd);
	if (error != ECONNREFUSED) {
		log_line("%s is in use by another process", path);
		return false;
	}
	return unlink(path) == 0 || errno == ENOENT;
}

static void make_parents(const char *path)
{
	char parent[PATH_MAX];

	for (const char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		snprintf(parent, sizeof(parent), "%.*s", (int)(slash - path), path);
		/* What is wrong with it, bind(2) will say. */
		if (mkdir(parent, 0755) != 0 && errno != EEXIST)
			return;
	}
}

/* Nobody can connect before mode and group are right: the socket is made without any permission. */
static int bind_to(const char *path, int type, mode_t mode, gid_t group, struct socket_file *file)
{
	struct sockaddr_un address;
	socklen_t length = fill_address(&address, path);
	bool is_file = path[0] != '@';
	struct stat status;
	mode_t mask;
	int error, fd;

	file->path = NULL;
	if (!length) {
		log_line("%s is too long for a socket: %zu bytes at most", path,
			 sizeof(address.sun_path) - 1);
		return -1;
	}
	if (is_file) {
		make_parents(path);
		if (!remove_stale(path, type))
			return -1;
	}
	fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
	if (fd < 0) {
		log_line("cannot make a socket: %s", strerror(errno));
		return -1;
	}
	mask = umask(0777);
	error = bind(fd, (struct sockaddr *)&address, length) == 0 ? 0 : errno;
	umask(mask);
	if (!error && is_file) {
		if (lstat(path, &status) != 0)
			error = errno;
		*file = (struct socket_file){path, status.st_dev, status.st_ino};
		if (!error && group != (gid_t)-1 && lchown(path, (uid_t)-1, group) != 0)
			error = errno;
		if (!error && chmod(path, mode) != 0)
			error = errno;
	}
	if (error) {
		log_line("cannot make the socket %s: %s", path, strerror(error));
		sockets_unlink(file);
		close(fd);
		return -1;
	}
	return fd;
}

int sockets_listen(const struct listen_option *option, struct socket_file *file)
{
	int fd = bind_to(option->path, option->type, option->mode, option->group, file);

	if (fd >= 0 && listen(fd, BACKLOG) != 0) {
		log_line("cannot listen on %s: %s", option->path, strerror(errno));
		sockets_unlink(file);
		close(fd);
		return -1;
	}
	return fd;
}

int sockets_notify(const char *path, struct socket_file *file, char *address, size_t size)
{
	unsigned char bytes[16];
	size_t length;
	int on = 1;
	int fd;

	if (path) {
		snprintf(address, size, "%s", path);
	} else {
		if (getrandom(bytes, sizeof(bytes), 0) != sizeof(bytes)) {
			log_line("no random numbers: %s", strerror(errno));
			return -1;
		}
		length = (size_t)snprintf(address, size, "@" NAME "/");
		for (size_t i = 0; i < sizeof(bytes) && length < size; i++)
			length +=
				(size_t)snprintf(address + length, size - length, "%02x", bytes[i]);
	}
	/* A daemon that has become another user still has to reach it; who is believed is told by
	 * credentials. */
	fd = bind_to(address, SOCK_DGRAM, 0666, (gid_t)-1, file);
	if (fd < 0)
		return -1;
	if (setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)) != 0) {
		log_line("cannot ask for credentials: %s", strerror(errno));
		sockets_unlink(file);
		close(fd);
		return -1;
	}
	return fd;
}

void sockets_unlink(const struct socket_file *file)
{
	struct stat status;

	if (file->path && lstat(file->path, &status) == 0 && status.st_dev == file->device &&
	    status.st_ino == file->inode)
		unlink(file->path);
}
