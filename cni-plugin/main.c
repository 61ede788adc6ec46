/*
 * weft-cni: a chained CNI plugin (CNI specification 1.1.0). Reads the call, passes it to the node's agent and prints the answer; all
 * sense is in the agent. While the agent is away it answers by itself, within two seconds: a pod that is not opted in passes, one that
 * is has to wait. Nothing but the result goes to standard output.
 */
#define _GNU_SOURCE
#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent.h"
#include "json.h"
#include "namespaces.h"

#define MAX_CONFIG (1 << 20)
#define MAX_PATH 4096
#define MAX_NAME 254
#define DEADLINE_MS 1700

enum cni_error {
	INCOMPATIBLE_VERSION = 1,
	INVALID_ENVIRONMENT = 4,
	IO_FAILURE = 5,
	DECODING_FAILURE = 6,
	INVALID_CONFIG = 7,
	TRY_AGAIN_LATER = 11,
};

static const char *const supported_versions[] = {"0.3.1", "0.4.0", "1.0.0", "1.1.0"};
static const char newest_version[] = "1.1.0";

static char config[MAX_CONFIG + 1];
static size_t config_length;
static char cni_version[16] = "1.1.0";

static void print_escaped(const char *text)
{
	for (; *text; text++) {
		if (*text == '"' || *text == '\\')
			putchar('\\');
		if ((unsigned char)*text < 0x20)
			printf("\\u%04x", (unsigned char)*text);
		else
			putchar(*text);
	}
}

__attribute__((noreturn, format(printf, 3, 4))) static void fail(int code, const char *details, const char *format, ...)
{
	char message[1024];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(message, sizeof(message), format, arguments);
	va_end(arguments);
	printf("{\"cniVersion\":\"%s\",\"code\":%d,\"msg\":\"", cni_version, code);
	print_escaped(message);
	printf("\",\"details\":\"");
	print_escaped(details);
	printf("\"}\n");
	exit(1);
}

static void read_config(void)
{
	size_t error_offset;

	config_length = fread(config, 1, sizeof(config), stdin);
	if (ferror(stdin))
		fail(IO_FAILURE, "", "standard input cannot be read");
	if (config_length > MAX_CONFIG)
		fail(DECODING_FAILURE, "", "the network configuration is larger than %d bytes", MAX_CONFIG);
	if (!json_check(config, config_length, &error_offset))
		fail(DECODING_FAILURE, "", "the network configuration is not JSON: byte %zu", error_offset);
	for (size_t i = 0; i < config_length && config[i] != '{'; i++)
		if (!isspace((unsigned char)config[i]))
			fail(DECODING_FAILURE, "", "the network configuration is not a JSON object");
}

static void check_version(struct json_span document)
{
	char version[sizeof(cni_version)];

	if (!json_string(json_member(document, "cniVersion"), version, sizeof(version)))
		fail(INVALID_CONFIG, "", "cniVersion is missing from the network configuration");
	for (size_t i = 0; i < sizeof(supported_versions) / sizeof(*supported_versions); i++) {
		if (strcmp(version, supported_versions[i]) == 0) {
			strcpy(cni_version, version);
			return;
		}
	}
	fail(INCOMPATIBLE_VERSION, "supported: 0.3.1, 0.4.0, 1.0.0, 1.1.0", "cniVersion %s is not supported", version);
}

static const char *required_variable(const char *name)
{
	const char *value = getenv(name);

	if (!value || !*value)
		fail(INVALID_ENVIRONMENT, "", "%s is not set", name);
	return value;
}

/* Section "Parameters" of the specification: alphanumeric, then also underscore, dot and hyphen. */
static void check_container_id(void)
{
	const char *id = required_variable("CNI_CONTAINERID");

	for (const char *at = id; *at; at++)
		if (!isalnum((unsigned char)*at) && (at == id || !strchr("_.-", *at)))
			fail(INVALID_ENVIRONMENT, "", "CNI_CONTAINERID has a character that is not allowed");
}

/* As the kernel's dev_valid_name(). */
static void check_interface_name(void)
{
	const char *name = required_variable("CNI_IFNAME");

	if (strlen(name) > 15 || strcmp(name, ".") == 0 || strcmp(name, "..") == 0 || strpbrk(name, "/: \t\n"))
		fail(INVALID_ENVIRONMENT, "", "CNI_IFNAME is not the name of an interface");
}

/* Copies the value of a key of CNI_ARGS, which is KEY=VALUE;KEY=VALUE. Leaves an empty string where it is absent. */
static void read_argument(const char *name, char *to, size_t size)
{
	const char *at = getenv("CNI_ARGS");

	*to = 0;
	while (at && *at) {
		size_t length = strcspn(at, ";");
		const char *equals = memchr(at, '=', length);

		if (length > 0 && (!equals || equals == at))
			fail(INVALID_ENVIRONMENT, "", "CNI_ARGS is not a list of KEY=VALUE");
		if (length > 0 && (size_t)(equals - at) == strlen(name) && memcmp(at, name, strlen(name)) == 0) {
			size_t value_length = length - (size_t)(equals - at) - 1;

			if (value_length >= size)
				fail(INVALID_ENVIRONMENT, "", "%s in CNI_ARGS is too long", name);
			memcpy(to, equals + 1, value_length);
			to[value_length] = 0;
		}
		at += length + (at[length] == ';');
	}
}

static void read_setting(struct json_span document, const char *name, const char *fallback, char *to, size_t size)
{
	struct json_span value = json_member(document, name);

	if (!value.start)
		snprintf(to, size, "%s", fallback);
	else if (!json_string(value, to, size))
		fail(INVALID_CONFIG, "", "%s in the network configuration is not a string that can be used", name);
}

static void print_previous_result(struct json_span document)
{
	struct json_span previous = json_member(document, "prevResult");

	fwrite(previous.start, 1, previous.length, stdout);
	putchar('\n');
}

static bool is_exempt(struct json_span document, const char *namespace)
{
	struct json_span exempt = json_member(document, "exemptNamespaces");

	if (exempt.start && *exempt.start != '[')
		fail(INVALID_CONFIG, "", "exemptNamespaces in the network configuration is not a list");
	if (exempt.start)
		return names_include(exempt, namespace);
	return strcmp(namespace, "kube-system") == 0 || strcmp(namespace, "weft-system") == 0;
}

static void fail_as_agent_says(struct json_span answer)
{
	struct json_span error = json_member(answer, "error"), code = json_member(error, "code");
	struct json_span message = json_member(error, "msg"), details = json_member(error, "details");

	printf("{\"cniVersion\":\"%s\",\"code\":%.*s,\"msg\":%.*s,\"details\":%.*s}\n", cni_version, code.start ? (int)code.length : 2,
	       code.start ? code.start : "11", message.start ? (int)message.length : 2, message.start ? message.start : "\"\"",
	       details.start ? (int)details.length : 2, details.start ? details.start : "\"\"");
	exit(1);
}

static void add_without_agent(struct json_span document, const char *namespace)
{
	char file[MAX_PATH];

	read_setting(document, "namespacesFile", "/var/lib/weft/namespaces.json", file, sizeof(file));
	if (namespace_opt_in(file, namespace) == NOT_OPTED_IN) {
		print_previous_result(document);
		return;
	}
	fail(TRY_AGAIN_LATER, "see the weft agent's pod on this node and its log",
	     "the weft agent of this node does not answer, and a pod of namespace \"%s\" must not start without it", namespace);
}

static void run(const char *command, struct json_span document)
{
	char socket_path[MAX_PATH], namespace[MAX_NAME];
	struct json_span answer, ok;
	bool is_add = strcmp(command, "ADD") == 0, is_check = strcmp(command, "CHECK") == 0;

	if (strcmp(command, "GC") != 0) {
		check_container_id();
		check_interface_name();
	}
	if (is_add || is_check) {
		required_variable("CNI_NETNS");
		struct json_span previous = json_member(document, "prevResult");

		if (!previous.start || *previous.start != '{')
			fail(INVALID_CONFIG, "", "prevResult is missing: weft-cni must be chained behind another plugin");
	}
	read_argument("K8S_POD_NAMESPACE", namespace, sizeof(namespace));
	read_setting(document, "socket", "/run/weft/cni.sock", socket_path, sizeof(socket_path));
	if (is_add && is_exempt(document, namespace)) {
		print_previous_result(document);
		return;
	}
	if (ask_agent(socket_path, config, config_length, DEADLINE_MS, &answer) == AGENT_AWAY) {
		/* What DEL and GC would tell it the agent finds out by itself, and CHECK has nobody to ask. */
		if (is_add)
			add_without_agent(document, namespace);
		return;
	}
	ok = json_member(answer, "ok");
	if (ok.length != 4 || memcmp(ok.start, "true", 4) != 0)
		fail_as_agent_says(answer);
	if (is_add)
		print_previous_result(document);
}

int main(void)
{
	const char *command = required_variable("CNI_COMMAND");

	if (strcmp(command, "VERSION") == 0) {
		printf("{\"cniVersion\":\"%s\",\"supportedVersions\":[\"0.3.1\",\"0.4.0\",\"1.0.0\",\"1.1.0\"]}\n", newest_version);
		return 0;
	}
	read_config();
	struct json_span document = {config, config_length};

	check_version(document);
	/* A node whose agent is away is still ready: pods outside the mesh can start. */
	if (strcmp(command, "STATUS") == 0)
		return 0;
	if (strcmp(command, "ADD") != 0 && strcmp(command, "DEL") != 0 && strcmp(command, "CHECK") != 0 && strcmp(command, "GC") != 0)
		fail(INVALID_ENVIRONMENT, "", "CNI_COMMAND %s is not known", command);
	run(command, document);
	return fflush(stdout) == 0 ? 0 : 1;
}
