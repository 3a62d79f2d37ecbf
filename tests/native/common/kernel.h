/* kernel.h - sizes of pages, and what is newer than the headers that this must build with. */
#ifndef COMMON_KERNEL_H
#define COMMON_KERNEL_H

#include <linux/userfaultfd.h>
#include <sys/mman.h>

#define BASE_PAGE 4096ul
#define HUGE_PAGE (2ul << 20)

#ifndef USERFAULTFD_IOC_NEW
#define USERFAULTFD_IOC_NEW _IO(0xAA, 0x00)
#endif
#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif

#endif
