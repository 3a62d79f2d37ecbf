/*
 * message.h - text for people, on standard error, in one write. Only at start, when asked for by
 * UFFD_MANAGER_VERBOSE, and before the process ends: the program's output is the program's.
 */
#ifndef SHIM_MESSAGE_H
#define SHIM_MESSAGE_H

/* "uffd-shim: text", with the name of an errno if error is not 0. */
void message_say(const char *text, int error);
/* "uffd-shim: text: step: errno" */
void message_failure(const char *text, const char *step, int error);

#endif
