/* The runtime's parameters, CNI_* (CNI 1.1, section 2, "Parameters"). Failures end the process with a CNI error. */
#ifndef WEFT_ENVIRONMENT_H
#define WEFT_ENVIRONMENT_H

#include "text.h"

/* Which variables a verb cannot do without. */
enum {
	NEEDS_CONTAINER = 1, /* CNI_CONTAINERID and CNI_IFNAME */
	NEEDS_NETNS = 2,
	NEEDS_PATH = 4,
};

void environment_check(int needs);

/* K8S_POD_NAMESPACE of CNI_ARGS, or "". Checks the form of CNI_ARGS. */
void environment_pod_namespace(char *buffer, size_t size);

/* All that are set, as a JSON object. */
void environment_add(struct text *text);

#endif
