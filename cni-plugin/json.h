/*
 * Looks into JSON (RFC 8259) where it lies, without building a tree: json_parse() checks a whole text once and gives
 * its value as a span; the other functions take spans of texts that passed.
 */
#ifndef WEFT_JSON_H
#define WEFT_JSON_H

#include <stdbool.h>
#include <stddef.h>

enum { JSON_MAXIMUM_DEPTH = 64 };

/* One value, with no white space around it. */
struct json {
	const char *at;
	size_t length;
};

/* Members of an object or elements of an array that are still to come. */
struct json_items {
	const char *at;
	const char *end;
};

/* On false, *position is the offset of the first byte that cannot be there. */
bool json_parse(const char *text, size_t length, struct json *value, size_t *position);

bool json_is_object(struct json value);
bool json_is_string(struct json value);
/* Whether the value is written exactly so: for numbers and literals. */
bool json_is(struct json value, const char *literal);

/* No items of what is neither an object nor an array. */
struct json_items json_items(struct json container);
/* *key is set for members of objects only. */
bool json_next(struct json_items *items, struct json *key, struct json *value);

/* Of several members of that name the last counts, as for JSON.parse and Go, so that the agent reads the same. */
bool json_member(struct json object, const char *key, struct json *value);

/* The string without quotes and escapes; false for another type, for one that does not fit or that holds NUL. */
bool json_string(struct json value, char *buffer, size_t size);

bool json_is_string_list(struct json value);
bool json_list_has(struct json list, const char *string);

#endif
