#define _GNU_SOURCE
#include "agent.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define MAX_ANSWER 65536

static const char *const variables[] = {"CNI_COMMAND", "CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME", "CNI_ARGS", "CNI_PATH"};

static int64_t now_ms(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (int64_t)time.tv_sec * 1000 + time.tv_nsec / 1000000;
}

static bool wait_for(int fd, short events, int64_t deadline)
{
	int64_t left = deadline - now_ms();
	struct pollfd waiting = {.fd = fd, .events = events};

	return left > 0 && poll(&waiting, 1, (int)left) == 1;
}

/* A unix socket's connect() does not go on by itself: with a full backlog it fails with EAGAIN and has to be tried again. */
static int connect_until(const char *path, int64_t deadline)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd;

	if (strlen(path) >= sizeof(address.sun_path))
		return -1;
	strcpy(address.sun_path, path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	while (fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof(address)) != 0) {
		if (errno != EAGAIN || now_ms() > deadline) {
			close(fd);
			return -1;
		}
		poll(NULL, 0, 20);
	}
	return fd;
}

static bool send_all(int fd, const char *bytes, size_t length, int64_t deadline)
{
	while (length > 0) {
		ssize_t sent = send(fd, bytes, length, MSG_NOSIGNAL);

		if (sent < 0 && errno == EAGAIN) {
			if (!wait_for(fd, POLLOUT, deadline))
				return false;
			continue;
		}
		if (sent < 0)
			return false;
		bytes += sent;
		length -= (size_t)sent;
	}
	return true;
}

static bool receive_all(int fd, char *bytes, size_t length, int64_t deadline)
{
	while (length > 0) {
		if (!wait_for(fd, POLLIN, deadline))
			return false;
		ssize_t received = recv(fd, bytes, length, 0);

		if (received <= 0)
			return false;
		bytes += received;
		length -= (size_t)received;
	}
	return true;
}

static void write_escaped(FILE *to, const char *text)
{
	for (; *text; text++) {
		if (*text == '"' || *text == '\\')
			fprintf(to, "\\%c", *text);
		else if ((unsigned char)*text < 0x20)
			fprintf(to, "\\u%04x", (unsigned char)*text);
		else
			fputc(*text, to);
	}
}

static char *write_request(const char *config, size_t config_length, size_t *length)
{
	char *request = NULL;
	FILE *to = open_memstream(&request, length);
	bool first = true;

	if (!to)
		return NULL;
	fwrite("\0\0\0\0", 1, 4, to); /* the length, once it is known */
	fputs("{\"env\":{", to);
	for (size_t i = 0; i < sizeof(variables) / sizeof(*variables); i++) {
		const char *value = getenv(variables[i]);

		if (!value)
			continue;
		fprintf(to, "%s\"%s\":\"", first ? "" : ",", variables[i]);
		write_escaped(to, value);
		fputc('"', to);
		first = false;
	}
	fputs("},\"config\":", to);
	fwrite(config, 1, config_length, to);
	fputc('}', to);
	if (fclose(to) != 0)
		return NULL;
	uint32_t body = (uint32_t)(*length - 4);
	unsigned char prefix[4] = {(unsigned char)(body >> 24), (unsigned char)(body >> 16), (unsigned char)(body >> 8), (unsigned char)body};

	memcpy(request, prefix, sizeof(prefix));
	return request;
}

static bool read_answer(int fd, int64_t deadline, struct json_span *answer)
{
	static char body[MAX_ANSWER];
	unsigned char prefix[4];
	size_t error_offset;

	if (!receive_all(fd, (char *)prefix, sizeof(prefix), deadline))
		return false;
	size_t length = (size_t)prefix[0] << 24 | (size_t)prefix[1] << 16 | (size_t)prefix[2] << 8 | prefix[3];

	if (length > sizeof(body) || !receive_all(fd, body, length, deadline) || !json_check(body, length, &error_offset))
		return false;
	*answer = (struct json_span){body, length};
	return true;
}

enum agent_result ask_agent(const char *socket_path, const char *config, size_t config_length, int deadline_ms, struct json_span *answer)
{
	int64_t deadline = now_ms() + deadline_ms;
	size_t length = 0;
	char *request = write_request(config, config_length, &length);
	int fd = request ? connect_until(socket_path, deadline) : -1;
	bool answered = fd >= 0 && send_all(fd, request, length, deadline) && read_answer(fd, deadline, answer);

	if (fd >= 0)
		close(fd);
	free(request);
	return answered ? AGENT_ANSWERED : AGENT_AWAY;
}
