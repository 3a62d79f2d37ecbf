/*
 * report.h - what a program tells of its run: lines `WORD key=value ...` on stdout, how long
 * anything had to wait, and the end of everything at the first wrong byte.
 */
#ifndef FIRECRACKER_REPORT_H
#define FIRECRACKER_REPORT_H

#include <stdint.h>

enum {
	EXIT_WRONG = 1,	   /* a byte is wrong, or a thread hangs: stdout says FAIL and what */
	EXIT_SERVED = 2,   /* a hand-over that nobody can serve was served rightly */
	EXIT_FROZEN = 3,   /* it was neither served nor refused: the guest waits */
	EXIT_REFUSED = 4,  /* the handler hung up before it had anything: a message fails */
	EXIT_POISONED = 5, /* SIGBUS: the handler has poisoned a page */
	EXIT_SETUP = 71,   /* this kernel or machine cannot run it: stdout says why */
};

#define MAX_THREADS 64u

extern _Thread_local unsigned int report_thread; /* whose slot this thread uses, 0 = main */

uint64_t report_now(void); /* CLOCK_MONOTONIC in ns */

/* Everything that may wait for the handler stands between these two. */
void report_begin(const char *what, uint64_t page);
uint64_t report_end(void); /* how long it was, in ns */

/* The longest wait so far, in ns; one that has not ended included. */
uint64_t report_longest(void);

/* Ends the process with EXIT_WRONG and the name of the thread that has waited longer than that. */
void report_check_patience(unsigned int seconds);

/* One line, written at once: whoever reads needs no end of the program to see it. */
void report_line(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* "REFUSED what: errno" and EXIT_REFUSED. */
_Noreturn void report_refused(int error, const char *what);

/* "FAIL what" and EXIT_WRONG; "SETUP what: errno" and EXIT_SETUP. */
_Noreturn void report_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
_Noreturn void report_setup(int error, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* From here on SIGBUS ends the process with EXIT_POISONED and a line "POISONED address=". */
void report_catch_poison(void);

#endif
