/*
 * The CNI plugin: last of the network's chain, it tells the agent of this node about every pod that comes and goes, and
 * passes the result of the plugins before it on. Knows by itself only what to do while the agent is away.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent.h"
#include "answer.h"
#include "config.h"
#include "environment.h"
#include "namespaces.h"
#include "text.h"

static const char *const versions[] = {"0.3.1", "0.4.0", "1.0.0", "1.1.0"};
enum { V0_3_1, V0_4_0, V1_0_0, V1_1_0, VERSIONS };

enum verb_id { ADD, DEL, CHECK, GC, STATUS, VERSION, VERBS };

struct verb {
	const char *name;
	int since; /* index of the first version that has it */
	int needs; /* of the environment */
};

static const struct verb verbs[VERBS] = {
    [ADD] = {"ADD", V0_3_1, NEEDS_CONTAINER | NEEDS_NETNS},
    [DEL] = {"DEL", V0_3_1, NEEDS_CONTAINER},
    [CHECK] = {"CHECK", V0_4_0, NEEDS_CONTAINER | NEEDS_NETNS},
    [GC] = {"GC", V1_1_0, NEEDS_PATH},
    [STATUS] = {"STATUS", V1_1_0, 0},
    [VERSION] = {"VERSION", V0_3_1, 0},
};

static enum verb_id read_verb(void)
{
	const char *command = getenv("CNI_COMMAND");
	if (command == NULL || *command == '\0') {
		FAIL(CNI_INVALID_ENVIRONMENT, "weft-cni is run by the container runtime.", "CNI_COMMAND is missing");
	}
	for (enum verb_id id = 0; id < VERBS; id++) {
		if (strcmp(command, verbs[id].name) == 0)
			return id;
	}
	FAIL(CNI_INVALID_ENVIRONMENT, "It may be ADD, DEL, CHECK, GC, STATUS or VERSION.",
	     "CNI_COMMAND is no verb of CNI");
}

/* Fails unless the configuration's version is one that we speak and that has the verb. */
static void check_version(struct json whole, enum verb_id id)
{
	static const char hint[] =
	    "weft-cni speaks 0.3.1, 0.4.0, 1.0.0 and 1.1.0; CHECK exists from 0.4.0, GC and STATUS from 1.1.0.";
	char asked[32] = "";
	if (!config_version(whole, asked, sizeof asked)) {
		FAIL(CNI_INCOMPATIBLE_VERSION, hint, "the configuration has no valid \"cniVersion\"");
	}
	for (int version = 0; version < VERSIONS; version++) {
		if (strcmp(asked, versions[version]) != 0)
			continue;
		answer_in_version(versions[version]);
		if (version >= verbs[id].since)
			return;
	}
	FAIL(CNI_INCOMPATIBLE_VERSION, hint, verbs[id].name, " is not supported in CNI version \"", asked, "\"");
}

static void log_silence(const char *verb, const char *reason)
{
	char line[256];
	struct text text = {.bytes = line, .capacity = sizeof line};
	text_add(&text, "weft-cni: ");
	text_add(&text, verb);
	text_add(&text, " goes on without the weft agent: ");
	text_add(&text, reason);
	text_add(&text, "\n");
	if (write(STDERR_FILENO, text.bytes, text.length) < 0)
		return; /* there is nobody left to tell */
}

static noreturn void succeed(enum verb_id id, const struct config *config)
{
	if (id == ADD)
		answer_json(config->prev_result);
	answer_nothing();
}

/* A pod that belongs into the mesh waits; it must never run outside of it unnoticed. */
static void check_may_start(const struct config *config, const char *namespace, const char *reason)
{
	char details[512];
	struct text text = {.bytes = details, .capacity = sizeof details - 1};
	text_add(&text, config->socket);
	text_add(&text, ": ");
	text_add(&text, reason);
	text_add(&text, ". Look at the weft-agent pod of this node: does it run, what is in its log?");
	details[text.length] = '\0';
	switch (namespaces_look_up(config->namespaces_file, namespace)) {
	case OPTED_OUT:
		return;
	case OPTED_IN:
		FAIL(CNI_TRY_AGAIN_LATER, details, "the weft agent on this node does not answer, and namespace \"",
		     namespace, "\" is in the mesh: its pods wait for the agent");
	case UNKNOWN:
		FAIL(CNI_TRY_AGAIN_LATER, details, "the weft agent on this node does not answer, and ",
		     config->namespaces_file,
		     " does not tell which namespaces are in the mesh: pods wait for the agent");
	}
}

int main(void)
{
	enum verb_id id = read_verb();
	struct json whole = config_read(STDIN_FILENO);
	if (id == VERSION) {
		char asked[32];
		bool known = config_version(whole, asked, sizeof asked);
		answer_versions(known ? asked : versions[V1_1_0], versions, VERSIONS);
	}
	check_version(whole, id);
	struct config config = config_parse(whole);
	environment_check(verbs[id].needs);
	if (id == STATUS)
		answer_nothing(); /* not ready would make the whole node NotReady, for pods outside of the mesh, too */

	if ((id == ADD || id == CHECK) && config.prev_result.length == 0) {
		FAIL(CNI_INVALID_CONFIG,
		     "weft-cni makes no network itself: put it after another plugin in the .conflist.",
		     "\"prevResult\" is missing");
	}
	char namespace[256];
	environment_pod_namespace(namespace, sizeof namespace);
	if (id != GC && json_list_has(config.exempt_namespaces, namespace))
		succeed(id, &config);

	struct agent_answer answer = agent_ask(config.socket, whole);
	if (answer.verdict == AGENT_REFUSES)
		answer_agents_error(answer.error);
	if (answer.verdict == AGENT_SILENT) {
		/* DEL and GC: the agent finds out by itself what is gone. CHECK: a failure would call the attachment
		 * broken for good. */
		if (id == ADD)
			check_may_start(&config, namespace, answer.reason);
		log_silence(verbs[id].name, answer.reason);
	}
	succeed(id, &config);
}
