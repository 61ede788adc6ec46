#include "json.h"

#include <string.h>

#define MAX_DEPTH 64

struct cursor {
	const char *at;
	const char *end;
};

static void skip_space(struct cursor *cursor)
{
	while (cursor->at < cursor->end && strchr(" \t\r\n", *cursor->at) && *cursor->at)
		cursor->at++;
}

static bool take(struct cursor *cursor, char expected)
{
	skip_space(cursor);
	if (cursor->at >= cursor->end || *cursor->at != expected)
		return false;
	cursor->at++;
	return true;
}

static bool is_digit(const struct cursor *cursor)
{
	return cursor->at < cursor->end && *cursor->at >= '0' && *cursor->at <= '9';
}

static bool skip_digits(struct cursor *cursor)
{
	if (!is_digit(cursor))
		return false;
	while (is_digit(cursor))
		cursor->at++;
	return true;
}

static bool skip_number(struct cursor *cursor)
{
	if (cursor->at < cursor->end && *cursor->at == '-')
		cursor->at++;
	if (cursor->at < cursor->end && *cursor->at == '0')
		cursor->at++;
	else if (!skip_digits(cursor))
		return false;
	if (cursor->at < cursor->end && *cursor->at == '.') {
		cursor->at++;
		if (!skip_digits(cursor))
			return false;
	}
	if (cursor->at < cursor->end && (*cursor->at == 'e' || *cursor->at == 'E')) {
		cursor->at++;
		if (cursor->at < cursor->end && (*cursor->at == '+' || *cursor->at == '-'))
			cursor->at++;
		return skip_digits(cursor);
	}
	return true;
}

static bool skip_escape(struct cursor *cursor)
{
	if (cursor->at >= cursor->end)
		return false;
	char kind = *cursor->at++;

	if (kind != 'u')
		return kind && strchr("\"\\/bfnrt", kind);
	for (int i = 0; i < 4; i++, cursor->at++)
		if (cursor->at >= cursor->end || !*cursor->at || !strchr("0123456789abcdefABCDEF", *cursor->at))
			return false;
	return true;
}

static bool skip_string(struct cursor *cursor)
{
	if (!take(cursor, '"'))
		return false;
	while (cursor->at < cursor->end) {
		unsigned char byte = (unsigned char)*cursor->at++;

		if (byte == '"')
			return true;
		if (byte < 0x20)
			return false;
		if (byte == '\\' && !skip_escape(cursor))
			return false;
	}
	return false;
}

static bool skip_literal(struct cursor *cursor, const char *literal)
{
	size_t length = strlen(literal);

	if ((size_t)(cursor->end - cursor->at) < length || memcmp(cursor->at, literal, length) != 0)
		return false;
	cursor->at += length;
	return true;
}

static bool skip_value(struct cursor *cursor, int depth);

static bool skip_members(struct cursor *cursor, char close, bool named, int depth)
{
	cursor->at++;
	if (take(cursor, close))
		return true;
	do {
		skip_space(cursor);
		if (named && (!skip_string(cursor) || !take(cursor, ':')))
			return false;
		if (!skip_value(cursor, depth + 1))
			return false;
	} while (take(cursor, ','));
	return take(cursor, close);
}

static bool skip_value(struct cursor *cursor, int depth)
{
	skip_space(cursor);
	if (cursor->at >= cursor->end || depth > MAX_DEPTH)
		return false;
	switch (*cursor->at) {
	case '{':
		return skip_members(cursor, '}', true, depth);
	case '[':
		return skip_members(cursor, ']', false, depth);
	case '"':
		return skip_string(cursor);
	case 't':
		return skip_literal(cursor, "true");
	case 'f':
		return skip_literal(cursor, "false");
	case 'n':
		return skip_literal(cursor, "null");
	default:
		return skip_number(cursor);
	}
}

bool json_check(const char *text, size_t length, size_t *error_offset)
{
	struct cursor cursor = {text, text + length};
	bool valid = skip_value(&cursor, 0);

	skip_space(&cursor);
	*error_offset = (size_t)(cursor.at - text);
	return valid && cursor.at == cursor.end;
}

static struct json_span take_value(struct cursor *cursor)
{
	skip_space(cursor);
	const char *start = cursor->at;

	if (!skip_value(cursor, 0))
		return (struct json_span){NULL, 0};
	return (struct json_span){start, (size_t)(cursor->at - start)};
}

struct json_span json_member(struct json_span object, const char *name)
{
	struct cursor cursor = {object.start, object.start + object.length};
	const struct json_span absent = {NULL, 0};
	size_t name_length = strlen(name);

	if (!object.start || !take(&cursor, '{'))
		return absent;
	do {
		struct json_span key = take_value(&cursor);

		if (!key.start || key.length < 2 || !take(&cursor, ':'))
			return absent;
		struct json_span value = take_value(&cursor);

		if (key.length == name_length + 2 && memcmp(key.start + 1, name, name_length) == 0)
			return value;
	} while (take(&cursor, ','));
	return absent;
}

struct json_span json_element(struct json_span array, size_t *position)
{
	const struct json_span absent = {NULL, 0};

	if (!array.start || array.length < 2 || *array.start != '[' || *position >= array.length)
		return absent;
	struct cursor cursor = {array.start + *position, array.start + array.length};

	cursor.at++; /* the bracket, or the comma behind the last element */
	struct json_span value = take_value(&cursor);

	skip_space(&cursor);
	*position = (size_t)(cursor.at - array.start);
	return value;
}

bool json_string(struct json_span value, char *to, size_t size)
{
	if (!value.start || value.length < 2 || *value.start != '"' || value.length - 2 >= size)
		return false;
	if (memchr(value.start, '\\', value.length))
		return false;
	memcpy(to, value.start + 1, value.length - 2);
	to[value.length - 2] = 0;
	return true;
}
