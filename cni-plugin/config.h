/* The network configuration that the runtime writes to stdin. Failures end the process with a CNI error. */
#ifndef WEFT_CONFIG_H
#define WEFT_CONFIG_H

#include <limits.h>
#include <sys/un.h>

#include "json.h"

enum { CONFIG_MAXIMUM_BYTES = 1024 * 1024 };

struct config {
	struct json whole;
	/* No length where there is none. */
	struct json prev_result;
	struct json exempt_namespaces;
	char socket[sizeof(((struct sockaddr_un *)NULL)->sun_path)];
	char namespaces_file[PATH_MAX];
};

/* An object. */
struct json config_read(int file);

/* "cniVersion" of it, or false. */
bool config_version(struct json whole, char *version, size_t size);

struct config config_parse(struct json whole);

#endif
