#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "config.h"

#define DEFAULT_MINIMUM (1024ull * 1024)

bool config_parse_size(const char *text, uint64_t *size)
{
	uint64_t value = 0;
	unsigned shift = 0;
	const char *at = text;

	for (; *at >= '0' && *at <= '9'; at++)
		if (__builtin_mul_overflow(value, 10u, &value) ||
		    __builtin_add_overflow(value, (uint64_t)(*at - '0'), &value))
			return false;
	if (at == text)
		return false;
	if (*at == 'K' || *at == 'k')
		shift = 10;
	else if (*at == 'M' || *at == 'm')
		shift = 20;
	else if (*at == 'G' || *at == 'g')
		shift = 30;
	if (shift)
		at++;
	if (*at || value > UINT64_MAX >> shift)
		return false;
	*size = value << shift;
	return true;
}

static bool take_text(char *to, size_t capacity, const char *name, const char *fallback)
{
	const char *text = secure_getenv(name);

	if (!text || !*text)
		text = fallback;
	if (strlen(text) >= capacity)
		return false;
	strcpy(to, text);
	return true;
}

static bool is_on(const char *name)
{
	const char *text = secure_getenv(name);

	return text && strcmp(text, "1") == 0;
}

/* /proc shows the descriptor's real path, so the prefix must be one too. */
static bool take_prefix(struct shim_config *config, const char *text, size_t length)
{
	struct shim_prefix *prefix = &config->prefix[config->prefixes];
	char given[SHIM_PATH];
	char real[SHIM_PATH];
	int saved = errno;
	size_t real_length;

	if (length == 0)
		return true;
	if (config->prefixes == SHIM_PREFIXES || length >= sizeof(given) || *text != '/')
		return false;
	memcpy(given, text, length);
	given[length] = 0;
	if (!realpath(given, real))
		strcpy(real, given);
	errno = saved;
	real_length = strlen(real);
	if (real_length >= sizeof(prefix->text))
		return false;
	memcpy(prefix->text, real, real_length + 1);
	prefix->length = (uint32_t)real_length;
	config->prefixes++;
	return true;
}

static bool take_prefixes(struct shim_config *config)
{
	const char *list = secure_getenv("UFFD_MANAGER_LAZY");

	while (list && *list) {
		size_t length = strcspn(list, ":");

		if (!take_prefix(config, list, length))
			return false;
		list += length + (list[length] == ':');
	}
	return true;
}

const char *config_read(struct shim_config *config)
{
	const char *minimum = secure_getenv("UFFD_MANAGER_MIN");
	size_t label = strlen(program_invocation_short_name);

	config->require = is_on("UFFD_MANAGER_REQUIRE");
	config->verbose = is_on("UFFD_MANAGER_VERBOSE");
	config->minimum = DEFAULT_MINIMUM;
	if (minimum && *minimum && !config_parse_size(minimum, &config->minimum))
		return "UFFD_MANAGER_MIN is not a size";
	if (config->minimum < SHIM_PAGE)
		config->minimum = SHIM_PAGE;
	if (!take_text(config->socket, sizeof(config->socket), "UFFD_MANAGER_SOCKET",
		       UFFDM_SOCKET_PATH))
		return "UFFD_MANAGER_SOCKET is too long for a socket";
	if (!take_text(config->policy, sizeof(config->policy), "UFFD_MANAGER_POLICY", ""))
		return "UFFD_MANAGER_POLICY is longer than a policy's name may be";
	if (!take_prefixes(config))
		return "UFFD_MANAGER_LAZY is not a list of absolute directories";
	if (label > UFFDM_MAX_LABEL)
		label = UFFDM_MAX_LABEL;
	memcpy(config->label, program_invocation_short_name, label);
	return NULL;
}
