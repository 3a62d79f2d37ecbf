/* script.h - a guest on KVM that does what standard input says. */
#ifndef MICROGUEST_SCRIPT_H
#define MICROGUEST_SCRIPT_H

#include "../firecracker/memory.h"

#define FIRST_PAGE 16u /* the pages before are the program's */

/*
 * Restores a guest of `vcpus` and obeys; returns the exit code. Each line is answered by "done N":
 *
 *   write PAGE COUNT NUMBER   a vCPU stores NUMBER, NUMBER + 1, ... in the first words of the pages
 *   count                     every vCPU stores 1, 2, 3, ... in those of its share of the pages,
 *                             round and round; "counting share=" before, "round-VCPU" after the
 *                             first round of each
 *   stop                      they end their rounds
 *
 * The end of the input has the host look at all of the memory.
 */
int obey_script(const struct memory_options *options, const char *socket, const char *image,
		unsigned int vcpus, unsigned int patience);

#endif
