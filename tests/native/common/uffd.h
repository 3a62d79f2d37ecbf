/* uffd.h - a userfaultfd of this process. */
#ifndef COMMON_UFFD_H
#define COMMON_UFFD_H

/* By the device, or by the system call where there is no device; -1 and errno. It is close-on-exec
 * and non-blocking, and UFFDIO_API has not been done. */
int uffd_create(void);

#endif
