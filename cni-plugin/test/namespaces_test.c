#include "../namespaces.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "check.h"

static enum membership look_up(const char *content, const char *namespace)
{
	char path[] = "/tmp/weft-namespaces-XXXXXX";
	int file = mkstemp(path);
	CHECK(write(file, content, strlen(content)) == (ssize_t)strlen(content));
	close(file);
	enum membership result = namespaces_look_up(path, namespace);
	unlink(path);
	return result;
}

void namespaces_tests(void)
{
	static const char shop[] = "{\"version\":1,\"namespaces\":[\"bank\",\"shop\"]}\n";
	CHECK(look_up(shop, "shop") == OPTED_IN);
	CHECK(look_up(shop, "sho") == OPTED_OUT);
	CHECK(look_up(shop, "") == OPTED_OUT);
	CHECK(look_up("{\"version\":1,\"namespaces\":[]}", "shop") == OPTED_OUT);

	static const char *const invalid[] = {"",
					      "{\"version\":1,\"namespaces\":[\"shop\"",
					      "{\"version\":2,\"namespaces\":[]}",
					      "{\"version\":\"1\",\"namespaces\":[]}",
					      "{\"namespaces\":[]}",
					      "{\"version\":1}",
					      "{\"version\":1,\"namespaces\":[1]}",
					      "{\"version\":1,\"namespaces\":{}}",
					      "[]"};
	for (size_t index = 0; index < sizeof invalid / sizeof *invalid; index++) {
		CHECK_OF(look_up(invalid[index], "shop") == UNKNOWN, invalid[index]);
	}
	CHECK(namespaces_look_up("/nonexistent/namespaces.json", "shop") == UNKNOWN);
	CHECK(namespaces_look_up("/tmp", "shop") == UNKNOWN);
}
