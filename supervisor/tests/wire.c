#include <string.h>
#include "wire.h"

socklen_t fill_address(struct sockaddr_un *address, const char *path)
{
	*address = (struct sockaddr_un){.sun_family = AF_UNIX};
	memcpy(address->sun_path, path, strnlen(path, sizeof(address->sun_path) - 1));
	if (*path == '@')
		address->sun_path[0] = 0;
	return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path));
}

bool send_fds(int socket, const char *text, size_t length, const int *fds, size_t count)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(MAX_FDS * sizeof(int))];
	} space;
	struct iovec part = {(void *)text, length};
	struct msghdr header = {.msg_iov = &part, .msg_iovlen = 1};

	if (count) {
		struct cmsghdr *rights = &space.align;

		header.msg_control = &space;
		header.msg_controllen = CMSG_SPACE(count * sizeof(int));
		*rights = (struct cmsghdr){.cmsg_len = CMSG_LEN(count * sizeof(int)),
					   .cmsg_level = SOL_SOCKET,
					   .cmsg_type = SCM_RIGHTS};
		memcpy(CMSG_DATA(rights), fds, count * sizeof(int));
	}
	return sendmsg(socket, &header, MSG_NOSIGNAL) >= 0;
}
