/*
 * usage: check BUILD [NAME]
 * Runs the tests (those whose name contains NAME) against BUILD/uffd-supervise. The last line is
 * "N passed, N failed, N skipped".
 */
#include <ftw.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "harness.h"

const char *build_dir;
char work_dir[] = "/tmp/uffd-supervise-XXXXXX";

static int remove_entry(const char *path, const struct stat *status, int type, struct FTW *walk)
{
	(void)status, (void)type, (void)walk;
	return remove(path);
}

int main(int count, char **arguments)
{
	static const struct test *const tables[] = {start_tests, store_tests, message_tests,
						    life_tests, release_tests};
	unsigned results[3] = {0};
	char program[PATH_MAX];
	const char *require = getenv("UFFD_TEST_REQUIRE");

	if (count < 2 || !mkdtemp(work_dir))
		return 64;
	setvbuf(stdout, NULL, _IOLBF, 0);
	build_dir = arguments[1];
	snprintf(program, sizeof(program), "%s/tests/supervise/fake_daemon", build_dir);
	for (size_t i = 0; i < sizeof(tables) / sizeof(*tables); i++) {
		for (const struct test *test = tables[i]; test->name; test++) {
			struct run run = {
				.listener = -1, .log_pipe = -1, .control = -1, .program = program};
			enum result result;

			if (count > 2 && !strstr(test->name, arguments[2]))
				continue;
			result = test->run(&run);
			if (result == SKIPPED && require && strcmp(require, "all") == 0)
				result = FAILED;
			if (result == FAILED) {
				is_in_log(&run, "");
				fprintf(stderr,
					"FAILED: %s\n%s---- what the daemon has found\n%s----\n",
					test->name, run.log ? run.log : "",
					run.report ? run.report : "");
			} else {
				printf("%s %s\n", result == PASSED ? "ok  " : "skip", test->name);
			}
			results[result]++;
			clean_up(&run);
		}
	}
	nftw(work_dir, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
	printf("%u passed, %u failed, %u skipped\n", results[PASSED], results[FAILED],
	       results[SKIPPED]);
	return results[FAILED] ? 1 : 0;
}
