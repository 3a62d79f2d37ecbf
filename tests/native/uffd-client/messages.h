/* messages.h - packets between the test and the client, each with a descriptor or none. */
#ifndef UFFD_CLIENT_MESSAGES_H
#define UFFD_CLIENT_MESSAGES_H

#include "client.h"

struct command {
	char text[MAX_MESSAGE];
	int fd; /* came with the message, or -1 */
};

/* Ends the process if nobody is there any more. `fd` (-1: none) stays open here. */
void send_message(int to, const char *text, int fd);

/* 0, or -1 at the end of the connection. The caller closes the descriptor. */
int receive_message(int from, struct command *command);

#endif
