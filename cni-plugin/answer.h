/* What goes to stdout, where the runtime expects JSON and nothing else (CNI 1.1, section 5). Each of these ends the
 * process. */
#ifndef WEFT_ANSWER_H
#define WEFT_ANSWER_H

#include <stdnoreturn.h>

#include "json.h"

/* CNI 1.1, section 2, "Errors": those that arise in the plugin; the agent adds its own. */
enum cni_error {
	CNI_INCOMPATIBLE_VERSION = 1,
	CNI_INVALID_ENVIRONMENT = 4,
	CNI_IO_FAILURE = 5,
	CNI_DECODING_FAILURE = 6,
	CNI_INVALID_CONFIG = 7,
	CNI_TRY_AGAIN_LATER = 11,
};

/* The version of errors from here on; until it is known they carry the newest. */
void answer_in_version(const char *version);

noreturn void answer_nothing(void);
noreturn void answer_json(struct json value);
noreturn void answer_versions(const char *asked, const char *const supported[], size_t count);
/* Of the agent, an object with "code", "msg" and "details". */
noreturn void answer_agents_error(struct json error);
/* parts, up to a NULL, make up the message. */
noreturn void answer_error(enum cni_error code, const char *details, const char *const parts[]);

#define FAIL(code, details, ...) answer_error(code, details, (const char *const[]){__VA_ARGS__, NULL})

#endif
