#include <dlfcn.h>
#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include "patch.h"
#include "sys.h"

#if defined(__x86_64__)
#define SKIP_LENGTH 4u
static const unsigned char skip[SKIP_LENGTH] = {0xf3, 0x0f, 0x1e, 0xfa}; /* endbr64 */
static const unsigned char jump[] = {0xff, 0x25, 0, 0, 0, 0};		 /* jmp *0(%rip) */
#elif defined(__aarch64__)
#define SKIP_LENGTH 4u
static const unsigned char skip[SKIP_LENGTH] = {0x5f, 0x24, 0x03, 0xd5};     /* bti c */
static const unsigned char jump[] = {0x50, 0, 0, 0x58, 0, 0x02, 0x1f, 0xd6}; /* ldr x16, 8; br */
#endif

#define PATCH_LENGTH (sizeof(jump) + sizeof(void *))

/* The directory of tasks has one link per task and two of its own. */
static bool has_threads(void)
{
	struct stat tasks;

	return sys4(SYS_newfstatat, AT_FDCWD, "/proc/self/task", &tasks, 0) != 0 ||
	       tasks.st_nlink != 3;
}

const char *patch_entry(void *function, void *target)
{
	unsigned char *entry = function;
	const ElfW(Sym) *symbol = NULL;
	Dl_info found;

	if (has_threads())
		return "the process has threads already";
	if (!dladdr1(function, &found, (void **)&symbol, RTLD_DL_SYMENT) || !symbol ||
	    found.dli_saddr != function)
		return "the function is not where its symbol says";
	bool marked = true;

	for (size_t i = 0; i < SKIP_LENGTH; i++)
		marked = marked && entry[i] == skip[i];
	if (marked)
		entry += SKIP_LENGTH;
	if (symbol->st_size < PATCH_LENGTH + SKIP_LENGTH)
		return "the function is too short";
	uintptr_t first = (uintptr_t)entry & ~(SHIM_PAGE - 1);
	uintptr_t last = ((uintptr_t)entry + PATCH_LENGTH + SHIM_PAGE - 1) & ~(SHIM_PAGE - 1);

	/* All rights at once, so that nothing has changed when it is refused (SELinux, a process
	 * that may not gain executable memory), and taking the right to write away again cannot be.
	 * The page stays executable: the agent's tasks may be in it. */
	if (sys3(SYS_mprotect, first, last - first, PROT_READ | PROT_WRITE | PROT_EXEC) != 0)
		return "the text of libc may not be made writable";
	for (size_t i = 0; i < sizeof(jump); i++)
		entry[i] = jump[i];
	for (size_t i = 0; i < sizeof(target); i++)
		entry[sizeof(jump) + i] = (unsigned char)((uintptr_t)target >> (8 * i));
	sys3(SYS_mprotect, first, last - first, PROT_READ | PROT_EXEC);
	__builtin___clear_cache((char *)entry, (char *)entry + PATCH_LENGTH);
	return NULL;
}
