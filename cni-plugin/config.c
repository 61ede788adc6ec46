#include "config.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "answer.h"
#include "identifier.h"
#include "text.h"

static const char runtime_hint[] = "The container runtime writes the network configuration to stdin.";
static const char conflist_hint[] = "Look at the weft-cni entry of the network's .conflist in /etc/cni/net.d.";

struct json config_read(int file)
{
	static char bytes[CONFIG_MAXIMUM_BYTES + 1];
	size_t length = 0;
	while (length < sizeof bytes) {
		ssize_t count = read(file, bytes + length, sizeof bytes - length);
		if (count < 0 && errno == EINTR)
			continue;
		if (count < 0)
			FAIL(CNI_IO_FAILURE, runtime_hint, "stdin cannot be read: ", strerror(errno));
		if (count == 0)
			break;
		length += (size_t)count;
	}
	if (length > CONFIG_MAXIMUM_BYTES)
		FAIL(CNI_INVALID_CONFIG, runtime_hint, "the configuration is larger than 1 MiB");

	struct json whole;
	size_t position;
	if (!json_parse(bytes, length, &whole, &position)) {
		char digits[24];
		struct text text = {.bytes = digits, .capacity = sizeof digits - 1};
		text_add_number(&text, position);
		digits[text.length] = '\0';
		FAIL(CNI_DECODING_FAILURE, runtime_hint, "the configuration is not JSON: unexpected at byte ", digits,
		     position == length ? ", its end" : "");
	}
	if (!json_is_object(whole))
		FAIL(CNI_DECODING_FAILURE, runtime_hint, "the configuration is no JSON object");
	return whole;
}

bool config_version(struct json whole, char *version, size_t size)
{
	struct json value;
	return json_member(whole, "cniVersion", &value) && json_string(value, version, size);
}

/* A member that is null counts as absent: Go writes what it does not know so. */
static bool present(struct json whole, const char *key, struct json *value)
{
	return json_member(whole, key, value) && !json_is(*value, "null");
}

static void read_path(struct json whole, const char *key, char *path, size_t size, const char *otherwise)
{
	struct json value;
	if (!present(whole, key, &value)) {
		memcpy(path, otherwise, strlen(otherwise) + 1);
	} else if (!json_string(value, path, size) || path[0] != '/') {
		FAIL(CNI_INVALID_CONFIG, conflist_hint, "\"", key, "\" is no absolute path, or too long");
	}
}

struct config config_parse(struct json whole)
{
	static const char default_exemptions[] = "[\"kube-system\",\"weft-system\"]";
	struct config config = {
	    .whole = whole,
	    .prev_result = {"", 0},
	    .exempt_namespaces = {default_exemptions, sizeof default_exemptions - 1},
	};
	char name[256];
	struct json value;
	if (!present(whole, "name", &value) || !json_string(value, name, sizeof name) || !is_identifier(name)) {
		FAIL(CNI_INVALID_CONFIG, conflist_hint, "the configuration has no valid \"name\"");
	}
	if (present(whole, "prevResult", &value)) {
		if (!json_is_object(value))
			FAIL(CNI_INVALID_CONFIG, runtime_hint, "\"prevResult\" is no JSON object");
		config.prev_result = value;
	}
	if (present(whole, "exemptNamespaces", &value)) {
		if (!json_is_string_list(value)) {
			FAIL(CNI_INVALID_CONFIG, conflist_hint, "\"exemptNamespaces\" is no list of strings");
		}
		config.exempt_namespaces = value;
	}
	read_path(whole, "socket", config.socket, sizeof config.socket, "/run/weft/cni.sock");
	read_path(whole, "namespacesFile", config.namespaces_file, sizeof config.namespaces_file,
		  "/var/lib/weft/namespaces.json");
	return config;
}
