#ifndef SHIM_PATCH_H
#define SHIM_PATCH_H

/*
 * Overwrites the beginning of a function of a shared library with a jump to `target`, so that calls
 * from within its library arrive there too. The old code is not run any more, so none of it has to
 * be understood or moved. It is refused when the process has other threads, which might be
 * running those bytes. Returns NULL, or why it was not done; then nothing
 * has changed.
 */
const char *patch_entry(void *function, void *target);

#endif
