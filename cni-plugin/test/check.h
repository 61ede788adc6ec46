#ifndef WEFT_CHECK_H
#define WEFT_CHECK_H

#include <stdio.h>
#include <stdlib.h>

#define CHECK(condition) CHECK_OF(condition, "")
#define CHECK_OF(condition, what)                                                                                      \
	do {                                                                                                           \
		if (!(condition)) {                                                                                    \
			fprintf(stderr, "%s:%d: not so: %s %s\n", __FILE__, __LINE__, #condition, what);               \
			exit(1);                                                                                       \
		}                                                                                                      \
	} while (0)

#endif
