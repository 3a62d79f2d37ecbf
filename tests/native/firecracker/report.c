#include "report.h"

#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* What a thread waits for; read by the thread that watches. */
struct slot {
	_Atomic uint64_t since; /* 0 while it waits for nothing */
	const char *_Atomic what;
	_Atomic uint64_t page;
};

_Thread_local unsigned int report_thread;

static struct slot slots[MAX_THREADS];
static _Atomic uint64_t longest;

uint64_t report_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000ull + (uint64_t)now.tv_nsec;
}

void report_begin(const char *what, uint64_t page)
{
	struct slot *slot = &slots[report_thread];

	atomic_store_explicit(&slot->what, what, memory_order_relaxed);
	atomic_store_explicit(&slot->page, page, memory_order_relaxed);
	atomic_store_explicit(&slot->since, report_now(), memory_order_release);
}

uint64_t report_end(void)
{
	struct slot *slot = &slots[report_thread];
	uint64_t waited = report_now() - atomic_load_explicit(&slot->since, memory_order_relaxed);
	uint64_t known = atomic_load_explicit(&longest, memory_order_relaxed);

	atomic_store_explicit(&slot->since, 0, memory_order_release);
	while (waited > known && !atomic_compare_exchange_weak(&longest, &known, waited))
		;
	return waited;
}

/* Which slot has waited longest and how long; NULL if none waits. */
static const struct slot *waiting(uint64_t *waited)
{
	const struct slot *found = NULL;
	uint64_t now = report_now();

	*waited = 0;
	for (unsigned int i = 0; i < MAX_THREADS; i++) {
		uint64_t since = atomic_load_explicit(&slots[i].since, memory_order_acquire);

		if (since != 0 && now > since && now - since > *waited) {
			*waited = now - since;
			found = &slots[i];
		}
	}
	return found;
}

uint64_t report_longest(void)
{
	uint64_t waited;

	waiting(&waited);
	uint64_t ended = atomic_load(&longest);

	return waited > ended ? waited : ended;
}

void report_check_patience(unsigned int seconds)
{
	uint64_t waited;
	const struct slot *slot = waiting(&waited);

	if (slot && waited > seconds * 1000000000ull)
		report_fail("thread %d, which %s page %lu, has waited for %lu ms",
			    (int)(slot - slots), slot->what, slot->page, waited / 1000000);
}

/* Not stdio: its lock may be held by a thread that waits for its page. */
static void emit(const char *prefix, const char *format, va_list arguments, const char *suffix)
{
	char text[1024];
	int length = snprintf(text, sizeof(text), "%s", prefix);

	length += vsnprintf(text + length, sizeof(text) - (size_t)length, format, arguments);
	if (length > (int)sizeof(text) - 200)
		length = (int)sizeof(text) - 200;
	length += snprintf(text + length, 200, "%s\n", suffix);
	if (write(STDOUT_FILENO, text, (size_t)length) < 0)
		_exit(EXIT_WRONG);
}

void report_line(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	emit("", format, arguments, "");
	va_end(arguments);
}

void report_fail(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	emit("FAIL ", format, arguments, "");
	va_end(arguments);
	_exit(EXIT_WRONG);
}

void report_refused(int error, const char *what)
{
	report_line("REFUSED %s: %s", what, strerror(error));
	_exit(EXIT_REFUSED);
}

void report_setup(int error, const char *format, ...)
{
	va_list arguments;
	char suffix[128];

	snprintf(suffix, sizeof(suffix), "%s%s", error ? ": " : "", error ? strerror(error) : "");
	va_start(arguments, format);
	emit("SETUP ", format, arguments, suffix);
	va_end(arguments);
	_exit(EXIT_SETUP);
}

static void on_poison(int number, siginfo_t *info, void *context)
{
	(void)number;
	(void)context;
	report_line("POISONED address=%#lx", (uint64_t)(uintptr_t)info->si_addr);
	_exit(EXIT_POISONED);
}

void report_catch_poison(void)
{
	struct sigaction action = {.sa_sigaction = on_poison, .sa_flags = SA_SIGINFO};

	sigaction(SIGBUS, &action, NULL);
}
