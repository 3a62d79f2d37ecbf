/*
 * hooks.h - what takes the place of libc's mmap and brk. Both do the real call first; the pointer
 * is handed to the program when its memory is registered. munmap, mremap, madvise and fork are not
 * hooked: the kernel reports them to the manager, also when they are called directly.
 */
#ifndef SHIM_HOOKS_H
#define SHIM_HOOKS_H

#include <stdbool.h>
#include <sys/types.h>

#define SHIM_EXPORT __attribute__((visibility("default")))

/*
 * Patches the entries of libc's mmap and brk. Returns NULL, or why it was not done; mmap is then
 * interposed for callers outside libc only, which leaves malloc unmanaged.
 */
const char *hooks_install(void);

SHIM_EXPORT void *mmap(void *address, size_t length, int prot, int flags, int file, off_t offset);
SHIM_EXPORT void *mmap64(void *address, size_t length, int prot, int flags, int file, off_t offset);

#endif
