/*
 * lazy.h - files that are mapped without being read.
 *
 * The hook decides and makes the ordinary mapping; the agent replaces it by one of a stub, a memfd
 * that has the file's size and never holds a page, and registers that with the file as page source.
 * A stub rather than anonymous memory, because the kernel then keeps the record: end of file is
 * SIGBUS as ever, and /proc/self/smaps tells a new manager what is mapped where after any number of
 * munmap and mremap calls.
 */
#ifndef SHIM_LAZY_H
#define SHIM_LAZY_H

#include "area.h"
#include "wire.h"

/* In the program: whether mmap with these arguments is to be lazy; fills the slot if so. Called
 * before the mapping exists; touches neither errno nor more than 256 bytes of stack. */
bool lazy_is_wanted(struct shim_slot *slot, size_t length, int prot, int flags, int file,
		    uint64_t offset);

/* In the agent. lazy_map replaces the mapping [slot->start, +slot->length); after a failure
 * lazy_unmap brings the ordinary one back, which may wait for a manager and is therefore called
 * without the connection. */
int lazy_map(int socket, int proc, const struct shim_slot *slot, struct wire_events *events);
void lazy_unmap(const struct shim_slot *slot);

/* Behind either of them. As long as a stub was mapped and not registered, whoever read the
 * program's memory from outside (a snapshot, a debugger) had the kernel put pages of zeros into it,
 * and every mapping of the file would show them from then on. Private copies, as the manager
 * installs them, stay. */
void lazy_wipe(const struct shim_slot *slot);

/* In a forked child's new agent: gets the descriptors of the inherited files. */
void lazy_inherit(int proc);

/* Tells a manager that has adopted the userfaultfd which of its ranges are the mailbox or mappings
 * of a file; the kernel's list is the truth. A file that nobody has any more ends the program: its
 * pages are not to be had. Returns 0, -EPIPE at the end of the connection, or another negative
 * errno if a range was refused: it may have been unmapped since it was read, or the manager may yet
 * be mended, so all is to be told once more. */
int lazy_register_again(int socket, int program_fd);

#endif
