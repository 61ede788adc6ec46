/* libFuzzer target: whatever the bytes are, the parser stays inside them and agrees with itself. */
#include <stdint.h>
#include <stdlib.h>

#include "json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct json_span document = {(const char *)data, size};
	size_t error_offset, position = 0;
	char text[64];

	if (!json_check(document.start, size, &error_offset)) {
		if (error_offset > size)
			abort();
		return 0;
	}
	struct json_span value = json_member(document, "a");

	if (value.start && (value.start < document.start || value.start + value.length > document.start + size))
		abort();
	json_string(value, text, sizeof(text));
	for (struct json_span element; (element = json_element(value, &position)).start;)
		if (!json_check(element.start, element.length, &error_offset))
			abort();
	return 0;
}
