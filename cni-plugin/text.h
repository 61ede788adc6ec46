/* Text that grows inside a buffer of fixed size; what does not fit is left out and marks it as full. */
#ifndef WEFT_TEXT_H
#define WEFT_TEXT_H

#include <stdbool.h>
#include <stddef.h>

struct text {
	char *bytes;
	size_t capacity;
	size_t length;
	bool full;
};

void text_add_bytes(struct text *text, const char *bytes, size_t length);
void text_add(struct text *text, const char *string);
void text_add_number(struct text *text, size_t number);
/* As a JSON string, quotes included. */
void text_add_quoted(struct text *text, const char *string);

#endif
