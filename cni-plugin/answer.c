#include "answer.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "text.h"

/* Holds a message of the agent, which has at most 64 KiB. */
static char buffer[80 * 1024];
static struct text out = {.bytes = buffer, .capacity = sizeof buffer};
static const char *error_version = "1.1.0";

static noreturn void finish(const char *bytes, size_t length, int status)
{
	while (length > 0) {
		ssize_t written = write(STDOUT_FILENO, bytes, length);
		if (written < 0 && errno == EINTR)
			continue;
		if (written < 0)
			exit(1);
		bytes += written;
		length -= (size_t)written;
	}
	exit(status);
}

static noreturn void finish_text(int status)
{
	text_add(&out, "\n");
	finish(out.bytes, out.length, status);
}

void answer_in_version(const char *version)
{
	error_version = version;
}

void answer_nothing(void)
{
	exit(0);
}

void answer_json(struct json value)
{
	finish(value.at, value.length, 0);
}

void answer_versions(const char *asked, const char *const supported[], size_t count)
{
	text_add(&out, "{\"cniVersion\":");
	text_add_quoted(&out, asked);
	text_add(&out, ",\"supportedVersions\":[");
	for (size_t index = 0; index < count; index++) {
		if (index > 0)
			text_add(&out, ",");
		text_add_quoted(&out, supported[index]);
	}
	text_add(&out, "]}");
	finish_text(0);
}

static void begin_error(void)
{
	text_add(&out, "{\"cniVersion\":");
	text_add_quoted(&out, error_version);
}

void answer_agents_error(struct json error)
{
	static const char *const keys[] = {"code", "msg", "details"};
	begin_error();
	for (size_t index = 0; index < sizeof keys / sizeof *keys; index++) {
		struct json value;
		if (!json_member(error, keys[index], &value))
			continue;
		text_add(&out, ",");
		text_add_quoted(&out, keys[index]);
		text_add(&out, ":");
		text_add_bytes(&out, value.at, value.length);
	}
	text_add(&out, "}");
	finish_text(1);
}

void answer_error(enum cni_error code, const char *details, const char *const parts[])
{
	char message[1024];
	struct text text = {.bytes = message, .capacity = sizeof message - 1};
	for (; *parts != NULL; parts++)
		text_add(&text, *parts);
	message[text.length] = '\0';
	begin_error();
	text_add(&out, ",\"code\":");
	text_add_number(&out, code);
	text_add(&out, ",\"msg\":");
	text_add_quoted(&out, message);
	text_add(&out, ",\"details\":");
	text_add_quoted(&out, details);
	text_add(&out, "}");
	finish_text(1);
}
