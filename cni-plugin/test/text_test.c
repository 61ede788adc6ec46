#include "../text.h"

#include <string.h>

#include "check.h"

static void adds_and_quotes(void)
{
	char bytes[64];
	struct text text = {.bytes = bytes, .capacity = sizeof bytes};
	text_add_number(&text, 0);
	text_add_number(&text, 1048576);
	text_add_quoted(&text, "a\"\\\n\x1f\xc3\xa9");
	static const char expected[] = "01048576\"a\\\"\\\\\\u000a\\u001f\xc3\xa9\"";
	CHECK(text.length == sizeof expected - 1 && memcmp(bytes, expected, text.length) == 0);
	CHECK(!text.full);
}

static void leaves_out_what_does_not_fit(void)
{
	char bytes[4];
	struct text text = {.bytes = bytes, .capacity = sizeof bytes};
	text_add(&text, "abcd");
	CHECK(!text.full);
	text_add(&text, "e");
	CHECK(text.full && text.length == 4 && memcmp(bytes, "abcd", 4) == 0);
}

void text_tests(void)
{
	adds_and_quotes();
	leaves_out_what_does_not_fit();
}
