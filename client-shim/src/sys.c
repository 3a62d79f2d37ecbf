#include "sys.h"

/*
 * Written as a whole in assembly: the child must not touch the stack frame that it shares with the
 * running parent. `flags` lacks CLONE_SETTLS, so the thread register goes on pointing to the
 * program's; nothing that the child calls may use thread-local storage.
 */
#if defined(__x86_64__)
__asm__(".text\n"
	".globl sys_clone_call\n"
	".hidden sys_clone_call\n"
	".type sys_clone_call, @function\n"
	"sys_clone_call:\n"
	"	andq $-16, %rsi\n"
	"	subq $16, %rsi\n"
	"	movq %rcx, 0(%rsi)\n" /* run */
	"	movq %r8, 8(%rsi)\n"  /* argument */
	"	movq %rdx, %r10\n"    /* child_tid */
	"	xorl %edx, %edx\n"    /* parent_tid */
	"	xorl %r8d, %r8d\n"    /* thread pointer, unused */
	"	movl $56, %eax\n"     /* clone */
	"	syscall\n"
	"	testq %rax, %rax\n"
	"	jz 1f\n"
	"	ret\n"
	"1:	xorl %ebp, %ebp\n"
	"	popq %rax\n"
	"	popq %rdi\n"
	"	call *%rax\n"
	"	movl %eax, %edi\n"
	"	movl $60, %eax\n" /* exit: this task only */
	"	syscall\n"
	"	hlt\n"
	".size sys_clone_call, .-sys_clone_call\n");
#elif defined(__aarch64__)
__asm__(".text\n"
	".globl sys_clone_call\n"
	".hidden sys_clone_call\n"
	".type sys_clone_call, %function\n"
	"sys_clone_call:\n"
	"	and x1, x1, #-16\n"
	"	stp x3, x4, [x1, #-16]!\n" /* run, argument */
	"	mov x4, x2\n"		   /* child_tid */
	"	mov x2, xzr\n"
	"	mov x3, xzr\n"
	"	mov x8, #220\n" /* clone */
	"	svc #0\n"
	"	cbz x0, 1f\n"
	"	ret\n"
	"1:	mov x29, xzr\n"
	"	ldp x1, x0, [sp], #16\n"
	"	blr x1\n"
	"	mov x8, #93\n" /* exit: this task only */
	"	svc #0\n"
	"	brk #1\n"
	".size sys_clone_call, .-sys_clone_call\n");
#endif
