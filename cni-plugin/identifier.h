/* Form of network names and container ids (CNI 1.1, sections 1 and 2): alphanumeric, then also "_", "." and "-". */
#ifndef WEFT_IDENTIFIER_H
#define WEFT_IDENTIFIER_H

#include <stdbool.h>
#include <string.h>

#define WEFT_ALPHANUMERIC "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

static inline bool is_identifier(const char *name)
{
	return strspn(name, WEFT_ALPHANUMERIC) > 0 && name[strspn(name, WEFT_ALPHANUMERIC "_.-")] == '\0';
}

#endif
