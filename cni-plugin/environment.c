#include "environment.h"

#include <net/if.h>
#include <stdlib.h>
#include <string.h>

#include "answer.h"
#include "identifier.h"

static const char runtime_hint[] = "The container runtime sets the variables; see the CNI specification, section 2.";

static const char *require(const char *variable)
{
	const char *value = getenv(variable);
	if (value == NULL || *value == '\0')
		FAIL(CNI_INVALID_ENVIRONMENT, runtime_hint, variable, " is missing");
	return value;
}

/* What the kernel takes (dev_valid_name). */
static bool is_interface_name(const char *name)
{
	return strlen(name) < IF_NAMESIZE && strcmp(name, ".") != 0 && strcmp(name, "..") != 0 &&
	       strpbrk(name, "/: \t\n\v\f\r") == NULL;
}

void environment_check(int needs)
{
	if (needs & NEEDS_CONTAINER) {
		if (!is_identifier(require("CNI_CONTAINERID"))) {
			FAIL(CNI_INVALID_ENVIRONMENT, runtime_hint,
			     "CNI_CONTAINERID has characters that a container id cannot have");
		}
		if (!is_interface_name(require("CNI_IFNAME"))) {
			FAIL(CNI_INVALID_ENVIRONMENT, runtime_hint, "CNI_IFNAME is no name of an interface");
		}
	}
	if (needs & NEEDS_NETNS)
		require("CNI_NETNS");
	if (needs & NEEDS_PATH)
		require("CNI_PATH");
}

void environment_pod_namespace(char *buffer, size_t size)
{
	static const char key[] = "K8S_POD_NAMESPACE=";
	const char *pair = getenv("CNI_ARGS");
	buffer[0] = '\0';
	while (pair != NULL && *pair != '\0') {
		size_t length = strcspn(pair, ";");
		size_t key_length = strcspn(pair, "=;");
		if (length > 0 && (key_length == 0 || key_length == length)) {
			FAIL(CNI_INVALID_ENVIRONMENT, runtime_hint, "CNI_ARGS has a part that is not KEY=VALUE");
		}
		if (strncmp(pair, key, sizeof key - 1) == 0) {
			size_t value_length = length - (sizeof key - 1);
			if (value_length >= size)
				FAIL(CNI_INVALID_ENVIRONMENT, runtime_hint,
				     "K8S_POD_NAMESPACE of CNI_ARGS is too long");
			memcpy(buffer, pair + sizeof key - 1, value_length);
			buffer[value_length] = '\0';
		}
		pair += length + (pair[length] == ';');
	}
}

void environment_add(struct text *text)
{
	static const char *const variables[] = {"CNI_COMMAND", "CNI_CONTAINERID", "CNI_NETNS",
						"CNI_IFNAME",  "CNI_ARGS",	  "CNI_PATH"};
	const char *separator = "{";
	for (size_t index = 0; index < sizeof variables / sizeof *variables; index++) {
		const char *value = getenv(variables[index]);
		if (value == NULL)
			continue;
		text_add(text, separator);
		text_add_quoted(text, variables[index]);
		text_add(text, ":");
		text_add_quoted(text, value);
		separator = ",";
	}
	text_add(text, "}");
}
