#include "namespaces.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "json.h"

enum { MAXIMUM_BYTES = 4 * 1024 * 1024 };

/* -1 for a file that cannot be read to its end or is too large. */
static ssize_t read_all(const char *path, char *bytes, size_t size)
{
	int file = open(path, O_RDONLY | O_CLOEXEC);
	if (file < 0)
		return -1;
	size_t length = 0;
	ssize_t count = 1;
	while (length < size && count != 0) {
		count = read(file, bytes + length, size - length);
		if (count < 0 && errno == EINTR)
			continue;
		if (count < 0)
			break;
		length += (size_t)count;
	}
	close(file);
	return count == 0 ? (ssize_t)length : -1;
}

enum membership namespaces_look_up(const char *path, const char *namespace)
{
	static char bytes[MAXIMUM_BYTES + 1];
	struct json whole, version, list;
	size_t position;
	ssize_t length = read_all(path, bytes, sizeof bytes);
	if (length < 0 || !json_parse(bytes, (size_t)length, &whole, &position) ||
	    !json_member(whole, "version", &version) || !json_is(version, "1") ||
	    !json_member(whole, "namespaces", &list) || !json_is_string_list(list)) {
		return UNKNOWN;
	}
	return json_list_has(list, namespace) ? OPTED_IN : OPTED_OUT;
}
