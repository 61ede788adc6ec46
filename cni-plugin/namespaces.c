#define _GNU_SOURCE
#include "namespaces.h"

#include <stdio.h>
#include <string.h>

#define MAX_FILE (1 << 20)
#define MAX_NAME 254

bool names_include(struct json_span array, const char *name)
{
	char candidate[MAX_NAME];
	size_t position = 0;

	for (struct json_span element; (element = json_element(array, &position)).start;)
		if (json_string(element, candidate, sizeof(candidate)) && strcmp(candidate, name) == 0)
			return true;
	return false;
}

enum opt_in namespace_opt_in(const char *file, const char *namespace)
{
	static char text[MAX_FILE];
	FILE *from = fopen(file, "re");
	size_t error_offset;

	if (!from)
		return UNKNOWN;
	size_t length = fread(text, 1, sizeof(text), from);

	fclose(from);
	if (length == sizeof(text) || !json_check(text, length, &error_offset))
		return UNKNOWN;
	struct json_span document = {text, length};
	struct json_span version = json_member(document, "version");
	struct json_span namespaces = json_member(document, "namespaces");

	if (version.length != 1 || *version.start != '1' || !namespaces.start || *namespaces.start != '[')
		return UNKNOWN;
	return names_include(namespaces, namespace) ? OPTED_IN : NOT_OPTED_IN;
}
