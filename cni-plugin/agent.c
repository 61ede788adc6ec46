#include "agent.h"

#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "answer.h"
#include "config.h"
#include "environment.h"
#include "text.h"

enum { LENGTH_BYTES = 4, ENVIRONMENT_BYTES = 64 * 1024, ANSWER_BYTES = 64 * 1024 };

static const char too_late[] = "no answer in time";

static int64_t now_ms(void)
{
	struct timespec time;
	clock_gettime(CLOCK_MONOTONIC, &time);
	return (int64_t)time.tv_sec * 1000 + time.tv_nsec / 1000000;
}

static struct text make_request(struct json config)
{
	static char bytes[LENGTH_BYTES + ENVIRONMENT_BYTES + CONFIG_MAXIMUM_BYTES];
	struct text request = {.bytes = bytes, .capacity = sizeof bytes, .length = LENGTH_BYTES};
	text_add(&request, "{\"env\":");
	environment_add(&request);
	text_add(&request, ",\"config\":");
	text_add_bytes(&request, config.at, config.length);
	text_add(&request, "}");
	if (request.full)
		FAIL(CNI_INVALID_ENVIRONMENT, "", "CNI_ARGS, CNI_PATH and the configuration are too large together");
	size_t length = request.length - LENGTH_BYTES;
	for (int index = 0; index < LENGTH_BYTES; index++)
		bytes[index] = (char)(length >> (24 - 8 * index));
	return request;
}

/* A listener whose backlog is full makes connect(2) wait, as long as SO_SNDTIMEO says (unix(7)). */
static const char *connect_until(int64_t deadline, int file, const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int64_t left = deadline - now_ms();
	struct timeval patience = {.tv_sec = left / 1000, .tv_usec = left % 1000 * 1000};
	memcpy(address.sun_path, path, strlen(path) + 1);
	setsockopt(file, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
	if (connect(file, (struct sockaddr *)&address, sizeof address) == 0)
		return NULL;
	return errno == EAGAIN ? "its backlog is full" : strerror(errno);
}

static bool wait_until(int64_t deadline, int file, short events)
{
	int64_t left = deadline - now_ms();
	struct pollfd entry = {.fd = file, .events = events};
	return left > 0 && poll(&entry, 1, (int)left) > 0;
}

static const char *send_until(int64_t deadline, int file, const char *bytes, size_t length)
{
	while (length > 0) {
		if (!wait_until(deadline, file, POLLOUT))
			return too_late;
		ssize_t count = send(file, bytes, length, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (count < 0 && errno == EAGAIN)
			continue;
		if (count < 0)
			return strerror(errno);
		bytes += count;
		length -= (size_t)count;
	}
	return NULL;
}

static const char *receive_until(int64_t deadline, int file, char *bytes, size_t length)
{
	while (length > 0) {
		if (!wait_until(deadline, file, POLLIN))
			return too_late;
		ssize_t count = recv(file, bytes, length, MSG_DONTWAIT);
		if (count < 0 && errno == EAGAIN)
			continue;
		if (count < 0)
			return strerror(errno);
		if (count == 0)
			return "it closed the connection";
		bytes += count;
		length -= (size_t)count;
	}
	return NULL;
}

static bool is_code(struct json value)
{
	return value.length > 0 && value.length <= 9 && *value.at >= '1' && *value.at <= '9' &&
	       strspn(value.at, "0123456789") >= value.length;
}

static struct agent_answer silent(const char *reason)
{
	return (struct agent_answer){.verdict = AGENT_SILENT, .reason = reason};
}

static struct agent_answer understand(const char *bytes, size_t length)
{
	struct json whole, ok, error, code, message;
	size_t position;
	if (json_parse(bytes, length, &whole, &position) && json_member(whole, "ok", &ok)) {
		if (json_is(ok, "true"))
			return (struct agent_answer){.verdict = AGENT_AGREES};
		if (json_is(ok, "false") && json_member(whole, "error", &error) && json_member(error, "code", &code) &&
		    is_code(code) && json_member(error, "msg", &message) && json_is_string(message)) {
			return (struct agent_answer){.verdict = AGENT_REFUSES, .error = error};
		}
	}
	return silent("its answer makes no sense");
}

static struct agent_answer exchange(int file, const char *socket_path, struct text request)
{
	static char answer[ANSWER_BYTES + 1];
	unsigned char prefix[LENGTH_BYTES];
	int64_t deadline = now_ms() + AGENT_DEADLINE_MS;
	const char *reason = connect_until(deadline, file, socket_path);
	if (reason == NULL)
		reason = send_until(deadline, file, request.bytes, request.length);
	if (reason == NULL)
		reason = receive_until(deadline, file, (char *)prefix, sizeof prefix);
	if (reason != NULL)
		return silent(reason);
	size_t length = (size_t)prefix[0] << 24 | (size_t)prefix[1] << 16 | (size_t)prefix[2] << 8 | prefix[3];
	if (length > ANSWER_BYTES)
		return silent("its answer is too long");
	reason = receive_until(deadline, file, answer, length);
	return reason != NULL ? silent(reason) : understand(answer, length);
}

struct agent_answer agent_ask(const char *socket_path, struct json config)
{
	struct text request = make_request(config);
	int file = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (file < 0)
		return silent(strerror(errno));
	struct agent_answer answer = exchange(file, socket_path, request);
	close(file);
	return answer;
}
