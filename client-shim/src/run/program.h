#ifndef RUN_PROGRAM_H
#define RUN_PROGRAM_H

#include <limits.h>
#include <stdbool.h>

/* What the dynamic loader will do with a program, as far as it matters to a preloaded library. */
struct program {
	char path[PATH_MAX];	    /* as execvp would find it */
	char interpreted[PATH_MAX]; /* the ELF file that is run: of a script, its interpreter */
	bool is_static;		    /* no loader: nothing can be preloaded */
	bool is_secure;	 /* set-user-id, set-group-id or file capabilities: the loader ignores us */
	bool is_foreign; /* not an ELF file of this machine; the kernel may still know it */
};

/* Looks into the program that execvp(name) would run. Returns 0, or the errno of execvp. */
int program_examine(const char *name, struct program *program);

#endif
