/* The agent of this node, by its unix socket: one request and one answer, each a 4-byte big-endian length and JSON. */
#pragma once

#include <stddef.h>

#include "json.h"

enum agent_result { AGENT_ANSWERED, AGENT_AWAY };

/*
 * Sends the environment and the configuration, and waits for the answer until the deadline (milliseconds), however slowly it comes.
 * On AGENT_ANSWERED *answer is checked JSON in memory that lasts as long as the process.
 */
enum agent_result ask_agent(const char *socket_path, const char *config, size_t config_length, int deadline_ms, struct json_span *answer);
