/* What must hold of every text: no read outside of it, and what was parsed can be walked to its end with each part
 * valid by itself. */
#include "../json.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static void require(bool condition)
{
	if (!condition)
		abort();
}

static void check_string(struct json value)
{
	char small[8];
	char *large = malloc(value.length);
	bool fits = json_string(value, large, value.length);
	require(!fits || strlen(large) <= value.length - 2);
	if (json_string(value, small, sizeof small))
		require(fits && strcmp(small, large) == 0);
	free(large);
}

static void walk(struct json value)
{
	struct json again, key, item, member;
	size_t position;
	require(value.length > 0 && json_parse(value.at, value.length, &again, &position));
	require(again.at == value.at && again.length == value.length && position == value.length);
	if (json_is_string(value))
		check_string(value);
	bool object = json_is_object(value);
	struct json_items items = json_items(value);
	while (json_next(&items, &key, &item)) {
		require(item.at > value.at && item.at + item.length < value.at + value.length);
		char name[64];
		if (object)
			check_string(key);
		if (object && json_string(key, name, sizeof name))
			require(json_member(value, name, &member) && member.at >= item.at);
		walk(item);
	}
	require(items.at == items.end);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct json value;
	size_t position;
	char *text = malloc(size); /* of its own, so that the sanitizer sees a read past its end */
	if (size > 0)
		memcpy(text, data, size);
	bool valid = json_parse(text, size, &value, &position);
	require(position <= size);
	if (valid) {
		walk(value);
		json_list_has(value, "shop");
		json_is_string_list(value);
	}
	free(text);
	return 0;
}
