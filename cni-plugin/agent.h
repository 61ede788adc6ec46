/* One question to the agent of this node over its socket; each way a 4-byte big-endian length and JSON. */
#ifndef WEFT_AGENT_H
#define WEFT_AGENT_H

#include "json.h"

/* The runtime's patience is not ours to use up: kubelet holds a slot for every pod that starts. */
enum { AGENT_DEADLINE_MS = 1800 };

enum agent_verdict {
	AGENT_AGREES,
	AGENT_REFUSES,
	AGENT_SILENT, /* away, hung, or its answer makes no sense */
};

struct agent_answer {
	enum agent_verdict verdict;
	struct json error;  /* when it refuses */
	const char *reason; /* when it is silent */
};

/* Passes the environment and the configuration as they are; ends the process with a CNI error if they are too large
 * together. */
struct agent_answer agent_ask(const char *socket_path, struct json config);

#endif
