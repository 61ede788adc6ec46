#include "text.h"

#include <string.h>

void text_add_bytes(struct text *text, const char *bytes, size_t length)
{
	if (length > text->capacity - text->length) {
		text->full = true;
		return;
	}
	memcpy(text->bytes + text->length, bytes, length);
	text->length += length;
}

void text_add(struct text *text, const char *string)
{
	text_add_bytes(text, string, strlen(string));
}

void text_add_number(struct text *text, size_t number)
{
	char digits[24];
	size_t first = sizeof digits;
	do {
		digits[--first] = (char)('0' + number % 10);
		number /= 10;
	} while (number > 0);
	text_add_bytes(text, digits + first, sizeof digits - first);
}

void text_add_quoted(struct text *text, const char *string)
{
	static const char hex[] = "0123456789abcdef";
	text_add(text, "\"");
	for (; *string != '\0'; string++) {
		unsigned char byte = (unsigned char)*string;
		if (byte < 0x20) {
			text_add_bytes(text, (char[]){'\\', 'u', '0', '0', hex[byte >> 4], hex[byte & 15]}, 6);
		} else {
			if (byte == '"' || byte == '\\')
				text_add(text, "\\");
			text_add_bytes(text, string, 1);
		}
	}
	text_add(text, "\"");
}
