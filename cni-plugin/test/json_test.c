#include "../json.h"

#include <stdint.h>
#include <string.h>

#include "check.h"

static struct json parsed(const char *text)
{
	struct json value = {"", 0};
	size_t position;
	CHECK(json_parse(text, strlen(text), &value, &position));
	return value;
}

static bool valid(const char *text)
{
	struct json value;
	size_t position;
	return json_parse(text, strlen(text), &value, &position);
}

static void takes_what_rfc_8259_allows(void)
{
	static const char *const texts[] = {"{}",
					    "[]",
					    " \t\r\n{ } ",
					    "0",
					    "-0",
					    "10.5e-3",
					    "1E+9",
					    "true",
					    "false",
					    "null",
					    "\"\"",
					    "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0aF9\"",
					    "[1,[2,{\"a\":[]}]]",
					    "{\"a\":1,\"a\":2}",
					    "\"\x7f\xc3\xa9\""};
	for (size_t index = 0; index < sizeof texts / sizeof *texts; index++)
		CHECK_OF(valid(texts[index]), texts[index]);
}

static void refuses_the_rest_and_says_where(void)
{
	static const struct {
		const char *text;
		size_t position;
	} cases[] = {{"", 0},		{" ", 1},	    {"{", 1},	  {"}", 0},
		     {"[1,]", 3},	{"{\"a\" 1}", 5},   {"{a:1}", 1}, {"{\"a\":}", 5},
		     {"{\"a\":1,}", 7}, {"01", 1},	    {"1.", 2},	  {"1e", 2},
		     {"-", 1},		{"+1", 0},	    {".5", 0},	  {"tru", 3},
		     {"nul1", 3},	{"[1 2]", 3},	    {"\"a", 2},	  {"\"\n\"", 1},
		     {"\"\\x\"", 2},	{"\"\\u12g4\"", 5}, {"\"\\", 2},  {"{} x", 3},
		     {"NaN", 0},	{"'a'", 0},	    {"/**/1", 0}, {"\xef\xbb\xbf{}", 0}};
	for (size_t index = 0; index < sizeof cases / sizeof *cases; index++) {
		struct json value;
		size_t position;
		CHECK_OF(!json_parse(cases[index].text, strlen(cases[index].text), &value, &position),
			 cases[index].text);
		CHECK_OF(position == cases[index].position, cases[index].text);
	}
}

static void looks_no_further_than_the_length(void)
{
	static const char text[] = {'[', 't', 'r', 'u', 'e', ']'};
	struct json value;
	size_t position;
	for (size_t length = 0; length < sizeof text; length++) {
		CHECK(!json_parse(text, length, &value, &position));
		CHECK(position == length);
	}
	CHECK(json_parse(text, sizeof text, &value, &position));
	CHECK(!json_parse("1\0", 2, &value, &position));
}

static void bounds_the_depth(void)
{
	char text[2 * (JSON_MAXIMUM_DEPTH + 1) + 1];
	for (int depth = JSON_MAXIMUM_DEPTH; depth <= JSON_MAXIMUM_DEPTH + 1; depth++) {
		memset(text, '[', (size_t)depth);
		memset(text + depth, ']', (size_t)depth);
		text[2 * depth] = '\0';
		CHECK(valid(text) == (depth == JSON_MAXIMUM_DEPTH));
	}
}

static void finds_members_as_they_stand(void)
{
	struct json value;
	struct json object = parsed(" { \"x\" : { \"name\" : 1 } , \"name\" : [ 1 , 2 ] } ");
	CHECK(json_member(object, "name", &value) && json_is(value, "[ 1 , 2 ]"));
	CHECK(!json_member(object, "nam", &value));
	CHECK(!json_member(parsed("[\"name\"]"), "name", &value));
}

static void the_last_of_equal_members_counts(void)
{
	struct json value;
	CHECK(json_member(parsed("{\"a\":1,\"b\":3,\"\\u0061\":2}"), "a", &value) && json_is(value, "2"));
}

static void resolves_escapes(void)
{
	static const struct {
		const char *text, *string;
	} cases[] = {{"\"a\\/\\\\\\\"\\n\"", "a/\\\"\n"},
		     {"\"\\u0041\\u00e9\\u20ac\"", "A\xc3\xa9\xe2\x82\xac"},
		     {"\"\\ud83d\\ude00\"", "\xf0\x9f\x98\x80"},
		     {"\"\\ud83dx\"", "\xed\xa0\xbdx"},
		     {"\"\\ud83d\\u0041\"", "\xed\xa0\xbd"
					    "A"},
		     {"\"\\ude00\"", "\xed\xb8\x80"}};
	for (size_t index = 0; index < sizeof cases / sizeof *cases; index++) {
		char buffer[32];
		CHECK_OF(json_string(parsed(cases[index].text), buffer, sizeof buffer), cases[index].text);
		CHECK_OF(strcmp(buffer, cases[index].string) == 0, cases[index].text);
	}
}

static void strings_must_fit_and_hold_no_nul(void)
{
	char buffer[4];
	CHECK(json_string(parsed("\"abc\""), buffer, sizeof buffer));
	CHECK(!json_string(parsed("\"abcd\""), buffer, sizeof buffer));
	CHECK(!json_string(parsed("\"ab\\u00e9\""), buffer, sizeof buffer));
	CHECK(!json_string(parsed("\"\\u0000\""), buffer, sizeof buffer));
	CHECK(!json_string(parsed("1"), buffer, sizeof buffer));
}

static void knows_lists_of_strings(void)
{
	CHECK(json_is_string_list(parsed("[]")));
	CHECK(json_is_string_list(parsed("[ \"a\" , \"b\" ]")));
	CHECK(!json_is_string_list(parsed("[\"a\",1]")));
	CHECK(!json_is_string_list(parsed("{\"a\":\"b\"}")));
	CHECK(json_list_has(parsed("[\"a\",\"b\"]"), "b"));
	CHECK(!json_list_has(parsed("[\"ab\"]"), "a"));
	CHECK(!json_list_has(parsed("[]"), ""));
}

void json_tests(void)
{
	takes_what_rfc_8259_allows();
	refuses_the_rest_and_says_where();
	looks_no_further_than_the_length();
	bounds_the_depth();
	finds_members_as_they_stand();
	the_last_of_equal_members_counts();
	resolves_escapes();
	strings_must_fit_and_hold_no_nul();
	knows_lists_of_strings();
}
