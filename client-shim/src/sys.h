/*
 * sys.h - system calls without libc.
 *
 * The agent shares the address space of its program but is no thread of it: libc's errno, locks and
 * thread pointer belong to the program. The hooks run inside the program's mmap and must not change
 * its errno on success. Both therefore call the kernel directly; results are the kernel's: negative
 * errno or a value.
 */
#ifndef SHIM_SYS_H
#define SHIM_SYS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>

#define SHIM_PAGE 4096ul

#ifndef SYS_futex_waitv
#define SYS_futex_waitv 449
#endif

#if defined(__x86_64__)
static inline long sys6(long number, long a, long b, long c, long d, long e, long f)
{
	long result;
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	register long r9 __asm__("r9") = f;

	__asm__ volatile("syscall"
			 : "=a"(result)
			 : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return result;
}
#elif defined(__aarch64__)
static inline long sys6(long number, long a, long b, long c, long d, long e, long f)
{
	register long x8 __asm__("x8") = number;
	register long x0 __asm__("x0") = a;
	register long x1 __asm__("x1") = b;
	register long x2 __asm__("x2") = c;
	register long x3 __asm__("x3") = d;
	register long x4 __asm__("x4") = e;
	register long x5 __asm__("x5") = f;

	__asm__ volatile("svc 0"
			 : "+r"(x0)
			 : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5)
			 : "memory");
	return x0;
}
#else
#error "no system call convention for this machine"
#endif

#define SYS_ARG(value) ((long)(value))
#define sys5(n, a, b, c, d, e)                                                                     \
	sys6(n, SYS_ARG(a), SYS_ARG(b), SYS_ARG(c), SYS_ARG(d), SYS_ARG(e), 0)
#define sys4(n, a, b, c, d) sys5(n, a, b, c, d, 0)
#define sys3(n, a, b, c) sys5(n, a, b, c, 0, 0)
#define sys2(n, a, b) sys5(n, a, b, 0, 0, 0)
#define sys1(n, a) sys5(n, a, 0, 0, 0, 0)
#define sys0(n) sys5(n, 0, 0, 0, 0, 0)

/* mmap's results are addresses; only the last page of the address space are errors. */
static inline int sys_is_error(long result)
{
	return (unsigned long)result > -SHIM_PAGE;
}

static inline long sys_mmap(void *address, size_t length, int prot, int flags, int fd,
			    unsigned long offset)
{
	return sys6(SYS_mmap, (long)address, (long)length, prot, flags, fd, (long)offset);
}

/*
 * clone(2) on a stack of its own: the new task calls run(argument) and ends with its result.
 * Returns the task's id, or a negative errno. The child never returns into the caller's frame.
 */
long sys_clone_call(unsigned long flags, void *stack_top, int *child_tid, int (*run)(void *),
		    void *argument);

#endif
