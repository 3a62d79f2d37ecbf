#include <fcntl.h>
#include <linux/capability.h>
#include <stdint.h>
#include <sys/prctl.h>
#include "identity.h"
#include "sys.h"

#define MAX_GROUPS 64

/* Of /proc/pid/status; real, effective and saved ids, in this order. */
struct identity {
	uint32_t users[3];
	uint32_t groups[3];
	uint32_t others[MAX_GROUPS];
	int other_count;
	uint64_t permitted;
};

static const char *after(const char *text, const char *name)
{
	for (; *text; text++) {
		const char *at = text;
		const char *expected = name;

		while (*expected && *at == *expected) {
			at++;
			expected++;
		}
		if (!*expected)
			return at;
		while (*text && *text != '\n')
			text++;
		if (!*text)
			break;
	}
	return NULL;
}

/* The numbers of a line, separated by blanks and tabs. */
static int take_numbers(const char *text, uint32_t *numbers, int room)
{
	int count = 0;

	while (count < room) {
		while (*text == ' ' || *text == '\t')
			text++;
		if (*text < '0' || *text > '9')
			break;
		numbers[count] = 0;
		while (*text >= '0' && *text <= '9')
			numbers[count] = numbers[count] * 10 + (uint32_t)(*text++ - '0');
		count++;
	}
	return count;
}

static uint64_t take_mask(const char *text)
{
	uint64_t mask = 0;

	while (*text == ' ' || *text == '\t')
		text++;
	for (; (*text >= '0' && *text <= '9') || (*text >= 'a' && *text <= 'f'); text++)
		mask = mask << 4 | (uint64_t)(*text <= '9' ? *text - '0' : *text - 'a' + 10);
	return mask;
}

static bool read_identity(int proc, int program, struct identity *identity)
{
	char text[4096];
	char path[32];
	char digits[12];
	char *end = path;
	const char *users, *groups, *others, *permitted;
	int count = 0;
	long length;
	long fd;

	for (; program > 0; program /= 10)
		digits[count++] = (char)('0' + program % 10);
	while (count > 0)
		*end++ = digits[--count];
	for (const char *rest = "/status"; *rest; rest++)
		*end++ = *rest;
	*end = 0;
	fd = sys4(SYS_openat, proc, path, O_RDONLY | O_CLOEXEC, 0);
	if (fd < 0)
		return false;
	length = sys3(SYS_read, fd, text, sizeof(text) - 1);
	sys1(SYS_close, fd);
	if (length <= 0)
		return false;
	text[length] = 0;
	users = after(text, "Uid:");
	groups = after(text, "Gid:");
	others = after(text, "Groups:");
	permitted = after(text, "CapPrm:");
	if (!users || !groups || !permitted || take_numbers(users, identity->users, 3) != 3 ||
	    take_numbers(groups, identity->groups, 3) != 3)
		return false;
	identity->other_count = others ? take_numbers(others, identity->others, MAX_GROUPS) : 0;
	identity->permitted = take_mask(permitted);
	return true;
}

static bool get_capabilities(struct __user_cap_data_struct *data)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};

	return sys2(SYS_capget, &header, data) == 0;
}

static void keep_capabilities(uint64_t permitted)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2];

	if (!get_capabilities(data))
		return;
	uint64_t own = data[0].permitted | (uint64_t)data[1].permitted << 32;

	if ((own & ~permitted) == 0)
		return;
	for (int i = 0; i < 2; i++) {
		data[i].permitted &= (uint32_t)(permitted >> (32 * i));
		data[i].effective &= data[i].permitted;
		data[i].inheritable = 0;
	}
	sys2(SYS_capset, &header, data);
}

bool identity_is_privileged(void)
{
	struct __user_cap_data_struct data[2];

	if (sys0(SYS_getuid) == 0 || sys0(SYS_geteuid) == 0)
		return true;
	return get_capabilities(data) && (data[0].permitted | data[1].permitted) != 0;
}

void identity_follow(int proc, int program)
{
	struct identity identity;
	uint32_t own = (uint32_t)sys0(SYS_getuid);
	bool can_return = false;
	long dumpable;

	if (!read_identity(proc, program, &identity))
		return;
	for (int i = 0; i < 3; i++)
		can_return = can_return || identity.users[i] == own;
	if (!can_return) {
		/* A change of the user id makes the shared memory undumpable, which the program may
		 * have undone for itself. */
		dumpable = sys5(SYS_prctl, PR_GET_DUMPABLE, 0, 0, 0, 0);
		sys2(SYS_setgroups, identity.other_count, identity.others);
		sys3(SYS_setresgid, identity.groups[0], identity.groups[1], identity.groups[2]);
		sys3(SYS_setresuid, identity.users[0], identity.users[1], identity.users[2]);
		if (dumpable == 1)
			sys5(SYS_prctl, PR_SET_DUMPABLE, 1, 0, 0, 0);
	}
	keep_capabilities(identity.permitted);
}
