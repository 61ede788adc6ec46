/* What the plugin may decide by itself while the agent is away. */
#pragma once

#include "json.h"

enum opt_in { OPTED_IN, NOT_OPTED_IN, UNKNOWN };

/* Reads the file that the agent keeps: {"version":1,"namespaces":[…]}. UNKNOWN where there is no such file or it is not whole. */
enum opt_in namespace_opt_in(const char *file, const char *namespace);

bool names_include(struct json_span array, const char *name);
