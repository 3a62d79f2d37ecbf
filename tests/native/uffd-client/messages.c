#include "messages.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

void send_message(int to, const char *text, int fd)
{
	union {
		struct cmsghdr header;
		char room[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec vector = {.iov_base = (void *)text, .iov_len = strlen(text)};
	struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1};

	if (fd >= 0) {
		memset(&control, 0, sizeof(control));
		message.msg_control = &control;
		message.msg_controllen = sizeof(control);
		control.header.cmsg_level = SOL_SOCKET;
		control.header.cmsg_type = SCM_RIGHTS;
		control.header.cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(&control.header), &fd, sizeof(int));
	}
	while (sendmsg(to, &message, MSG_NOSIGNAL) < 0)
		if (errno != EINTR)
			_exit(0); /* the test has gone */
}

int receive_message(int from, struct command *command)
{
	union {
		struct cmsghdr header;
		char room[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec vector = {.iov_base = command->text, .iov_len = MAX_MESSAGE - 1};
	struct msghdr message = {.msg_iov = &vector,
				 .msg_iovlen = 1,
				 .msg_control = &control,
				 .msg_controllen = sizeof(control)};
	ssize_t length;

	while ((length = recvmsg(from, &message, MSG_CMSG_CLOEXEC)) < 0)
		if (errno != EINTR)
			return -1;
	if (length == 0)
		return -1;
	command->text[length] = '\0';
	command->fd = -1;
	if (message.msg_controllen >= sizeof(struct cmsghdr) &&
	    control.header.cmsg_type == SCM_RIGHTS)
		memcpy(&command->fd, CMSG_DATA(&control.header), sizeof(int));
	return 0;
}
