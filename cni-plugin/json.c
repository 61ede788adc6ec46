#include "json.h"

#include <stdint.h>
#include <string.h>

struct cursor {
	const char *at;
	const char *end;
};

static bool is_next(const struct cursor *cursor, char byte)
{
	return cursor->at < cursor->end && *cursor->at == byte;
}

static bool take(struct cursor *cursor, char byte)
{
	if (!is_next(cursor, byte))
		return false;
	cursor->at++;
	return true;
}

static bool take_any(struct cursor *cursor, const char *bytes)
{
	if (cursor->at == cursor->end || *cursor->at == '\0' || strchr(bytes, *cursor->at) == NULL)
		return false;
	cursor->at++;
	return true;
}

static void skip_space(struct cursor *cursor)
{
	while (take_any(cursor, " \t\n\r"))
		continue;
}

static bool skip_literal(struct cursor *cursor, const char *literal)
{
	for (; *literal != '\0'; literal++) {
		if (!take(cursor, *literal))
			return false;
	}
	return true;
}

static bool skip_digits(struct cursor *cursor)
{
	if (!take_any(cursor, "0123456789"))
		return false;
	while (take_any(cursor, "0123456789"))
		continue;
	return true;
}

static bool skip_number(struct cursor *cursor)
{
	take(cursor, '-');
	if (!take(cursor, '0') && !skip_digits(cursor))
		return false;
	if (take(cursor, '.') && !skip_digits(cursor))
		return false;
	if (take_any(cursor, "eE")) {
		take_any(cursor, "+-");
		return skip_digits(cursor);
	}
	return true;
}

static bool skip_string(struct cursor *cursor)
{
	if (!take(cursor, '"'))
		return false;
	while (!take(cursor, '"')) {
		if (cursor->at == cursor->end || (unsigned char)*cursor->at < 0x20)
			return false;
		if (!take(cursor, '\\')) {
			cursor->at++;
		} else if (take(cursor, 'u')) {
			for (int digit = 0; digit < 4; digit++) {
				if (!take_any(cursor, "0123456789abcdefABCDEF"))
					return false;
			}
		} else if (!take_any(cursor, "\"\\/bfnrt")) {
			return false;
		}
	}
	return true;
}

static bool skip_value(struct cursor *cursor, int depth);

static bool skip_container(struct cursor *cursor, int depth, bool object)
{
	char close = object ? '}' : ']';
	if (depth == 0)
		return false;
	cursor->at++;
	skip_space(cursor);
	if (take(cursor, close))
		return true;
	do {
		skip_space(cursor);
		if (object) {
			if (!skip_string(cursor))
				return false;
			skip_space(cursor);
			if (!take(cursor, ':'))
				return false;
			skip_space(cursor);
		}
		if (!skip_value(cursor, depth - 1))
			return false;
		skip_space(cursor);
	} while (take(cursor, ','));
	return take(cursor, close);
}

static bool skip_value(struct cursor *cursor, int depth)
{
	if (is_next(cursor, '{'))
		return skip_container(cursor, depth, true);
	if (is_next(cursor, '['))
		return skip_container(cursor, depth, false);
	if (is_next(cursor, '"'))
		return skip_string(cursor);
	if (is_next(cursor, 't'))
		return skip_literal(cursor, "true");
	if (is_next(cursor, 'f'))
		return skip_literal(cursor, "false");
	if (is_next(cursor, 'n'))
		return skip_literal(cursor, "null");
	return skip_number(cursor);
}

static struct json taken_since(const char *start, const struct cursor *cursor)
{
	return (struct json){start, (size_t)(cursor->at - start)};
}

bool json_parse(const char *text, size_t length, struct json *value, size_t *position)
{
	struct cursor cursor = {text, text + length};
	skip_space(&cursor);
	const char *start = cursor.at;
	bool valid = skip_value(&cursor, JSON_MAXIMUM_DEPTH);
	if (valid) {
		*value = taken_since(start, &cursor);
		skip_space(&cursor);
	}
	*position = (size_t)(cursor.at - text);
	return valid && cursor.at == cursor.end;
}

bool json_is_object(struct json value)
{
	return value.length > 0 && *value.at == '{';
}

bool json_is_string(struct json value)
{
	return value.length > 0 && *value.at == '"';
}

bool json_is(struct json value, const char *literal)
{
	return value.length == strlen(literal) && memcmp(value.at, literal, value.length) == 0;
}

struct json_items json_items(struct json container)
{
	if (container.length == 0 || strchr("{[", *container.at) == NULL)
		return (struct json_items){NULL, NULL};
	return (struct json_items){container.at + 1, container.at + container.length - 1};
}

bool json_next(struct json_items *items, struct json *key, struct json *value)
{
	struct cursor cursor = {items->at, items->end};
	skip_space(&cursor);
	items->at = cursor.at;
	if (!skip_value(&cursor, JSON_MAXIMUM_DEPTH))
		return false;
	*value = taken_since(items->at, &cursor);
	skip_space(&cursor);
	if (take(&cursor, ':')) {
		*key = *value;
		skip_space(&cursor);
		const char *start = cursor.at;
		skip_value(&cursor, JSON_MAXIMUM_DEPTH);
		*value = taken_since(start, &cursor);
		skip_space(&cursor);
	}
	take(&cursor, ',');
	items->at = cursor.at;
	return true;
}

bool json_member(struct json object, const char *key, struct json *value)
{
	char name[64];
	bool found = false;
	struct json item_key, item;
	if (!json_is_object(object))
		return false;
	for (struct json_items items = json_items(object); json_next(&items, &item_key, &item);) {
		if (!json_string(item_key, name, sizeof name) || strcmp(name, key) != 0)
			continue;
		*value = item;
		found = true;
	}
	return found;
}

static uint32_t hex_value(const char *digits)
{
	uint32_t value = 0;
	for (int digit = 0; digit < 4; digit++) {
		char byte = digits[digit];
		value = value << 4 | (uint32_t)(byte <= '9' ? byte - '0' : (byte | 0x20) - 'a' + 10);
	}
	return value;
}

/* The code point that follows "\u"; a surrogate that is not half of a pair stands for itself. */
static uint32_t take_code_point(struct cursor *cursor)
{
	uint32_t high = hex_value(cursor->at);
	cursor->at += 4;
	if ((high & 0xfc00) != 0xd800 || cursor->end - cursor->at < 6 || memcmp(cursor->at, "\\u", 2) != 0)
		return high;
	uint32_t low = hex_value(cursor->at + 2);
	if ((low & 0xfc00) != 0xdc00)
		return high;
	cursor->at += 6;
	return 0x10000 + ((high & 0x3ff) << 10 | (low & 0x3ff));
}

static size_t encode_utf8(uint32_t point, char bytes[4])
{
	if (point < 0x80) {
		bytes[0] = (char)point;
		return 1;
	}
	size_t length = point < 0x800 ? 2 : point < 0x10000 ? 3 : 4;
	for (size_t index = length - 1; index > 0; index--, point >>= 6)
		bytes[index] = (char)(0x80 | (point & 0x3f));
	bytes[0] = (char)((0xf00 >> length) | point);
	return length;
}

/* One character or escape as UTF-8; gives the number of bytes. */
static size_t take_character(struct cursor *cursor, char bytes[4])
{
	static const char escapes[] = "bfnrt", meanings[] = "\b\f\n\r\t";
	bytes[0] = *cursor->at++;
	if (bytes[0] != '\\')
		return 1;
	bytes[0] = *cursor->at++;
	if (bytes[0] == 'u')
		return encode_utf8(take_code_point(cursor), bytes);
	const char *escape = strchr(escapes, bytes[0]);
	if (escape != NULL)
		bytes[0] = meanings[escape - escapes];
	return 1;
}

bool json_string(struct json value, char *buffer, size_t size)
{
	if (!json_is_string(value))
		return false;
	size_t length = 0;
	struct cursor cursor = {value.at + 1, value.at + value.length - 1};
	while (cursor.at < cursor.end) {
		char bytes[4];
		size_t count = take_character(&cursor, bytes);
		if (count >= size - length || bytes[0] == '\0')
			return false;
		memcpy(buffer + length, bytes, count);
		length += count;
	}
	buffer[length] = '\0';
	return true;
}

bool json_is_string_list(struct json value)
{
	struct json key, item;
	if (value.length == 0 || *value.at != '[')
		return false;
	for (struct json_items items = json_items(value); json_next(&items, &key, &item);) {
		if (!json_is_string(item))
			return false;
	}
	return true;
}

bool json_list_has(struct json list, const char *string)
{
	char buffer[256];
	struct json key, item;
	for (struct json_items items = json_items(list); json_next(&items, &key, &item);) {
		if (json_string(item, buffer, sizeof buffer) && strcmp(buffer, string) == 0)
			return true;
	}
	return false;
}
