/*
 * protocol.h - the native wire protocol of uffd-manager, version 1.
 *
 * protocol/PROTOCOL.md is the specification; this header only gives it names. It needs nothing but
 * the freestanding headers, allocates nothing and calls nothing, so that it can be used where libc
 * cannot (an agent process that shares the address space of its program).
 *
 * One SOCK_SEQPACKET message = struct uffdm_header + fixed body of the type + strings, all integers
 * little-endian, descriptors by SCM_RIGHTS. A string is a u16 length and that many bytes of UTF-8
 * without NUL; strings follow the fixed body back to back, in the order that the struct's comment
 * gives, unaligned and without terminator.
 */
#ifndef UFFD_MANAGER_PROTOCOL_H
#define UFFD_MANAGER_PROTOCOL_H

#include <stddef.h>
#include <stdint.h>

#if !defined(__BYTE_ORDER__) || __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "the structs of this header are the wire format only on little-endian machines"
#endif

#define UFFDM_SOCKET_PATH "/run/uffd-manager/manager.sock"

#define UFFDM_MAGIC 0x4d464655u /* "UFFM" in memory order */
#define UFFDM_VERSION 1u

/* Limits of both sides, in bytes; UFFDM_MAX_MESSAGE includes the header. */
#define UFFDM_MAX_MESSAGE 65536u
#define UFFDM_MAX_DESCRIPTORS 8u
#define UFFDM_MAX_LABEL 64u
#define UFFDM_MAX_POLICY 64u
#define UFFDM_MAX_TENANT 64u
#define UFFDM_MAX_NAME 64u
#define UFFDM_MAX_STATE 64u
#define UFFDM_MAX_TEXT 512u
#define UFFDM_MAX_SOURCE 4096u

/* A connection that has not said HELLO (or ATTACH after GREETED) by then is closed. */
#define UFFDM_HANDSHAKE_SECONDS 10u

enum uffdm_type {
	UFFDM_HELLO = 1,
	UFFDM_WELCOME = 2,
	UFFDM_ATTACH = 3,
	UFFDM_REGISTER = 4,
	UFFDM_REGISTERED = 5,
	UFFDM_UNREGISTER = 6,
	UFFDM_MAP = 7,
	UFFDM_MAPPED = 8,
	UFFDM_PREFETCH = 9,
	UFFDM_DONE = 10,
	UFFDM_WAKE = 11,
	UFFDM_WRITE_PROTECT = 12,
	UFFDM_STATUS = 13,
	UFFDM_STATUS_REPLY = 14,
	UFFDM_BYE = 15,
	UFFDM_ERROR = 16,
	UFFDM_GOODBYE = 17,
	/* Manager to agent, for eviction. Nothing in this range is defined in version 1; who gets
	 * one answers ERROR with UFFDM_CODE_UNKNOWN_TYPE. */
	UFFDM_AGENT_FIRST = 0x40,
	UFFDM_AGENT_LAST = 0x5f,
};

/* uffdm_header.flags */
#define UFFDM_HEADER_REPLY 0x0001u

/* uffdm_hello.flags; those marked (A) also in uffdm_attach.flags */
#define UFFDM_HELLO_WANT_DEVICE 0x0001u
#define UFFDM_HELLO_HAS_UFFD 0x0002u	     /* (A) */
#define UFFDM_HELLO_API_DONE 0x0004u	     /* (A) */
#define UFFDM_HELLO_KEEPS_DESCRIPTOR 0x0008u /* (A) */
#define UFFDM_HELLO_ADOPT 0x0010u	     /* (A) */
#define UFFDM_HELLO_FORK_CHILD 0x0020u	     /* token = word read from the mailbox */
#define UFFDM_HELLO_NO_SESSION 0x0040u
#define UFFDM_HELLO_SUBJECT_IS_PARENT 0x0080u
#define UFFDM_HELLO_RESUME 0x0100u	   /* token = resume_token of an earlier WELCOME */
#define UFFDM_HELLO_USER_MODE_ONLY 0x0200u /* (A) */

/* uffdm_welcome.flags */
#define UFFDM_WELCOME_DEVICE 0x0001u  /* descriptor 0 is an open /dev/userfaultfd */
#define UFFDM_WELCOME_UFFD 0x0002u    /* descriptor 0 is the forked child's userfaultfd */
#define UFFDM_WELCOME_RESUMED 0x0004u /* the session was alive: its regions are untouched */

/* uffdm_register.modes */
#define UFFDM_MODE_MISSING 0x1u
#define UFFDM_MODE_WRITE_PROTECT 0x2u
#define UFFDM_MODE_MINOR 0x4u

/* uffdm_register.flags */
#define UFFDM_REGISTER_SOURCE_FD 0x01u		 /* descriptor 0 is the page source */
#define UFFDM_REGISTER_MAILBOX 0x02u		 /* one page that carries the fork token */
#define UFFDM_REGISTER_REMOVE_MEANS_SOURCE 0x04u /* after MADV_DONTNEED contents come back */
#define UFFDM_REGISTER_FROM_MAP 0x08u		 /* a mapping of the object map_id */
#define UFFDM_REGISTER_WRITE_PROTECTED 0x10u	 /* pages are installed write-protected */

/* uffdm_map.flags; uffdm_mapped.flags has UFFDM_MAP_WRITABLE only */
#define UFFDM_MAP_WRITABLE 0x1u
#define UFFDM_MAP_SOURCE_FD 0x2u

/* uffdm_error.code */
enum uffdm_code {
	UFFDM_CODE_PROTOCOL = 1,
	UFFDM_CODE_UNKNOWN_TYPE = 2,
	UFFDM_CODE_VERSION = 3,
	UFFDM_CODE_LIMIT = 4,
	UFFDM_CODE_REFUSED_PEER = 5,
	UFFDM_CODE_POLICY = 6,
	UFFDM_CODE_SOURCE = 7,
	UFFDM_CODE_CONFLICT = 8,
	UFFDM_CODE_NOT_FOUND = 9,
	UFFDM_CODE_KERNEL = 10,
	UFFDM_CODE_STATE = 11,
	UFFDM_CODE_SHUTTING_DOWN = 12,
};

/* uffdm_error.flags */
#define UFFDM_ERROR_HOLDER 0x1u /* the holder_* fields are valid */

/* uffdm_goodbye.reason */
enum uffdm_reason {
	UFFDM_REASON_SHUTTING_DOWN = 1,
	UFFDM_REASON_SESSION_ENDED = 2,
	UFFDM_REASON_KILLED = 3,
};

struct uffdm_header {
	uint32_t magic;
	uint16_t version;
	uint16_t type;
	uint32_t body_length; /* of all that follows the header */
	uint32_t request_id;  /* chosen by the asking side, echoed in the reply */
	uint16_t descriptor_count;
	uint16_t flags;
	uint32_t reserved; /* 0 */
};

struct uffdm_hello { /* + string label, string policy */
	uint16_t min_version;
	uint16_t max_version;
	uint32_t flags;
	uint64_t requested_features; /* UFFD_FEATURE_* */
	uint64_t token;		     /* by flag: fork token, resume token, else 0 */
};

struct uffdm_welcome { /* + string tenant, string policy */
	uint16_t version;
	uint16_t flags;
	uint32_t page_size;
	uint64_t session_id; /* 0: no session yet */
	uint64_t resume_token;
	uint64_t features_enabled;
	uint64_t features_available;
	uint64_t max_registered_bytes;
	uint32_t max_regions;
	uint32_t reserved;
};

struct uffdm_attach {
	uint32_t flags;
	uint32_t reserved;
	uint64_t requested_features;
};

struct uffdm_register { /* + string policy, string source */
	uint64_t start;
	uint64_t length;
	uint32_t modes;
	uint32_t flags;
	uint64_t source_offset;
	uint64_t map_id;
};

struct uffdm_registered {
	uint64_t ioctls; /* as UFFDIO_REGISTER returned them */
	uint64_t region_id;
};

/* UNREGISTER, PREFETCH and WAKE */
struct uffdm_range {
	uint64_t start;
	uint64_t length;
};

struct uffdm_map { /* + string policy, string source, string name */
	uint64_t length;
	uint64_t source_offset;
	uint32_t flags;
	uint32_t reserved;
};

struct uffdm_mapped {
	uint64_t map_id;
	uint64_t length;
	uint32_t flags;
	uint32_t reserved;
};

struct uffdm_done {
	uint64_t value;
};

struct uffdm_write_protect {
	uint64_t start;
	uint64_t length;
	uint32_t protect; /* 0 or 1 */
	uint32_t reserved;
};

/* STATUS and BYE have an empty body. */

struct uffdm_status_reply { /* + string tenant, string policy, string state */
	uint64_t session_id;
	uint64_t uptime_ns;
	uint64_t regions;
	uint64_t registered_bytes;
	uint64_t resident_bytes;
	uint64_t faults;
	uint64_t copied_bytes;
	uint64_t zeroed_bytes;
	uint64_t deferrals;
	uint64_t poisoned_pages;
	uint64_t in_flight;
	uint64_t p50_ns;
	uint64_t p90_ns;
	uint64_t p99_ns;
	uint64_t p999_ns;
};

struct uffdm_error {   /* + string holder_tenant, string text */
	int32_t error; /* errno */
	uint32_t code; /* enum uffdm_code */
	uint32_t flags;
	int32_t holder_pid;
	uint64_t holder_session; /* 0: outside this manager */
	uint64_t holder_start;
	uint64_t holder_length;
};

struct uffdm_goodbye {	 /* + string text */
	uint32_t reason; /* enum uffdm_reason */
	uint32_t reserved;
};

#define UFFDM_ASSERT_AT(type, member, offset)                                                      \
	_Static_assert(offsetof(struct type, member) == (offset), #type "." #member)
#define UFFDM_ASSERT_SIZE(type, size) _Static_assert(sizeof(struct type) == (size), #type)

UFFDM_ASSERT_SIZE(uffdm_header, 24);
UFFDM_ASSERT_AT(uffdm_header, magic, 0);
UFFDM_ASSERT_AT(uffdm_header, version, 4);
UFFDM_ASSERT_AT(uffdm_header, type, 6);
UFFDM_ASSERT_AT(uffdm_header, body_length, 8);
UFFDM_ASSERT_AT(uffdm_header, request_id, 12);
UFFDM_ASSERT_AT(uffdm_header, descriptor_count, 16);
UFFDM_ASSERT_AT(uffdm_header, flags, 18);
UFFDM_ASSERT_AT(uffdm_header, reserved, 20);

UFFDM_ASSERT_SIZE(uffdm_hello, 24);
UFFDM_ASSERT_AT(uffdm_hello, flags, 4);
UFFDM_ASSERT_AT(uffdm_hello, requested_features, 8);
UFFDM_ASSERT_AT(uffdm_hello, token, 16);

UFFDM_ASSERT_SIZE(uffdm_welcome, 56);
UFFDM_ASSERT_AT(uffdm_welcome, page_size, 4);
UFFDM_ASSERT_AT(uffdm_welcome, session_id, 8);
UFFDM_ASSERT_AT(uffdm_welcome, resume_token, 16);
UFFDM_ASSERT_AT(uffdm_welcome, features_enabled, 24);
UFFDM_ASSERT_AT(uffdm_welcome, features_available, 32);
UFFDM_ASSERT_AT(uffdm_welcome, max_registered_bytes, 40);
UFFDM_ASSERT_AT(uffdm_welcome, max_regions, 48);

UFFDM_ASSERT_SIZE(uffdm_attach, 16);
UFFDM_ASSERT_AT(uffdm_attach, requested_features, 8);

UFFDM_ASSERT_SIZE(uffdm_register, 40);
UFFDM_ASSERT_AT(uffdm_register, modes, 16);
UFFDM_ASSERT_AT(uffdm_register, flags, 20);
UFFDM_ASSERT_AT(uffdm_register, source_offset, 24);
UFFDM_ASSERT_AT(uffdm_register, map_id, 32);

UFFDM_ASSERT_SIZE(uffdm_registered, 16);
UFFDM_ASSERT_AT(uffdm_registered, region_id, 8);

UFFDM_ASSERT_SIZE(uffdm_range, 16);
UFFDM_ASSERT_AT(uffdm_range, length, 8);

UFFDM_ASSERT_SIZE(uffdm_map, 24);
UFFDM_ASSERT_AT(uffdm_map, source_offset, 8);
UFFDM_ASSERT_AT(uffdm_map, flags, 16);

UFFDM_ASSERT_SIZE(uffdm_mapped, 24);
UFFDM_ASSERT_AT(uffdm_mapped, length, 8);
UFFDM_ASSERT_AT(uffdm_mapped, flags, 16);

UFFDM_ASSERT_SIZE(uffdm_done, 8);

UFFDM_ASSERT_SIZE(uffdm_write_protect, 24);
UFFDM_ASSERT_AT(uffdm_write_protect, protect, 16);

UFFDM_ASSERT_SIZE(uffdm_status_reply, 120);
UFFDM_ASSERT_AT(uffdm_status_reply, faults, 40);
UFFDM_ASSERT_AT(uffdm_status_reply, in_flight, 80);
UFFDM_ASSERT_AT(uffdm_status_reply, p999_ns, 112);

UFFDM_ASSERT_SIZE(uffdm_error, 40);
UFFDM_ASSERT_AT(uffdm_error, code, 4);
UFFDM_ASSERT_AT(uffdm_error, flags, 8);
UFFDM_ASSERT_AT(uffdm_error, holder_pid, 12);
UFFDM_ASSERT_AT(uffdm_error, holder_session, 16);
UFFDM_ASSERT_AT(uffdm_error, holder_start, 24);
UFFDM_ASSERT_AT(uffdm_error, holder_length, 32);

UFFDM_ASSERT_SIZE(uffdm_goodbye, 8);

#undef UFFDM_ASSERT_AT
#undef UFFDM_ASSERT_SIZE

/*
 * Appends one string at offset `at` of a buffer of `capacity` bytes. Returns the offset behind it,
 * or 0 if it does not fit; 0 as `at` gives 0, so that calls can be chained and checked once.
 */
static inline size_t uffdm_put_string(void *buffer, size_t capacity, size_t at, const char *text,
				      size_t length)
{
	unsigned char *bytes = buffer;

	if (at == 0 || length > UINT16_MAX || at > capacity || capacity - at < length + 2)
		return 0;
	bytes[at] = (unsigned char)(length & 0xff);
	bytes[at + 1] = (unsigned char)(length >> 8);
	for (size_t i = 0; i < length; i++)
		bytes[at + 2 + i] = (unsigned char)text[i];
	return at + 2 + length;
}

/*
 * Reads the string at offset `at` of a message of `total` bytes: *text points into the message (not
 * terminated). Returns the offset behind it, or 0 if the message is too short; 0 gives 0.
 */
static inline size_t uffdm_get_string(const void *message, size_t total, size_t at,
				      const char **text, size_t *length)
{
	const unsigned char *bytes = message;

	*text = NULL;
	*length = 0;
	if (at == 0 || at > total || total - at < 2)
		return 0;
	size_t count = (size_t)bytes[at] | (size_t)bytes[at + 1] << 8;

	if (total - at - 2 < count)
		return 0;
	*text = (const char *)bytes + at + 2;
	*length = count;
	return at + 2 + count;
}

/*
 * Whether the first `total` bytes of `message`, received with `descriptors` descriptors, are one
 * well-formed frame. Says nothing of the body.
 */
static inline int uffdm_frame_is_valid(const void *message, size_t total, size_t descriptors)
{
	const struct uffdm_header *header = message;

	return total >= sizeof(*header) && total <= UFFDM_MAX_MESSAGE &&
	       header->magic == UFFDM_MAGIC && header->version == UFFDM_VERSION &&
	       header->body_length == total - sizeof(*header) && header->reserved == 0 &&
	       (header->flags & ~UFFDM_HEADER_REPLY) == 0 &&
	       header->descriptor_count == descriptors && descriptors <= UFFDM_MAX_DESCRIPTORS;
}

#endif /* UFFD_MANAGER_PROTOCOL_H */
