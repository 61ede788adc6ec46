/*
 * Just enough JSON (RFC 8259) for a network configuration: checks a whole document and finds members of objects as spans of its text.
 * Nothing is allocated or copied; depth is bounded.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct json_span {
	const char *start; /* NULL: absent */
	size_t length;
};

/* Returns true when the text is one JSON value; else *error_offset tells where it is not. */
bool json_check(const char *text, size_t length, size_t *error_offset);

/* The value of an object's member; the first of that name. `object` must have been checked. */
struct json_span json_member(struct json_span object, const char *name);

/* The next element of an array, or an absent span. *position is 0 at first. */
struct json_span json_element(struct json_span array, size_t *position);

/* Copies a string's content. False where the value is no string, has escapes, or does not fit: none of what we read needs them. */
bool json_string(struct json_span value, char *to, size_t size);
