/*
 * Requests of HTTP/1.1 at a constant rate, whatever the answers take: what a request waits for its turn counts as its latency, so none
 * is left out because the one before it was slow (no coordinated omission).
 *
 *   httpload ADDRESS PORT CONNECTIONS RATE SECONDS
 *
 * Prints one JSON line: {"requests":…,"errors":…,"late":…,"p50_us":…,"p90_us":…,"p99_us":…,"p999_us":…,"max_us":…}. `late`: requests that were
 * due and not sent by the end, as nothing answered; of those without an answer the time until then counts. Answers need a Content-Length.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MAX_CONNECTIONS = 1024, BATCH = 256, MAX_ANSWER = 16384, SUB_BUCKETS = 64, BUCKETS = 64 * SUB_BUCKETS, GRACE_SECONDS = 2 };

struct connection {
	int socket;
	bool busy;
	int64_t due;
	size_t received;
	char answer[MAX_ANSWER];
};

static struct connection connections[MAX_CONNECTIONS];
static int idle[MAX_CONNECTIONS], idle_count;
static uint64_t counts[BUCKETS], total, errors, late;
static int64_t slowest;
static char request[256];
static int request_length;

static int64_t now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * INT64_C(1000000000) + time.tv_nsec;
}

/* Exact below 128 ns, and by less than 1.6 % above. */
static int bucket_of(uint64_t ns)
{
	int shift = 0;

	while (ns >= 2 * SUB_BUCKETS) {
		ns >>= 1;
		shift++;
	}
	return shift * SUB_BUCKETS + (int)ns;
}

static uint64_t end_of(int bucket)
{
	const int shift = bucket < SUB_BUCKETS ? 0 : bucket / SUB_BUCKETS - 1;

	return ((uint64_t)(bucket - shift * SUB_BUCKETS) + 1) << shift;
}

static void count(int64_t ns)
{
	counts[bucket_of((uint64_t)(ns > 0 ? ns : 0))]++;
	total++;
	if (ns > slowest)
		slowest = ns;
}

static double percentile_us(double part)
{
	const double wanted = part * (double)total;
	uint64_t seen = 0;

	for (int bucket = 0; bucket < BUCKETS; bucket++) {
		seen += counts[bucket];
		if (seen > 0 && (double)seen >= wanted)
			return (double)(end_of(bucket) < (uint64_t)slowest ? end_of(bucket) : (uint64_t)slowest) / 1e3;
	}
	return 0;
}

static int dial(const char *host, int port)
{
	const int one = 1;
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
	const int socket_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (inet_pton(AF_INET, host, &address.sin_addr) != 1) {
		fprintf(stderr, "httpload: %s is no IPv4 address\n", host);
		exit(2);
	}
	if (socket_fd < 0 || connect(socket_fd, (struct sockaddr *)&address, sizeof address) != 0) {
		perror("httpload: cannot connect");
		exit(1);
	}
	setsockopt(socket_fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	return socket_fd;
}

static void send_request(int index, int64_t due)
{
	struct connection *const connection = &connections[index];

	connection->busy = true;
	connection->due = due;
	connection->received = 0;
	if (send(connection->socket, request, (size_t)request_length, MSG_NOSIGNAL) != request_length) {
		perror("httpload: cannot send");
		exit(1);
	}
}

/* 1: it is whole and a success; -1: it is whole and none; 0: more has to come. */
static int look_at(struct connection *connection)
{
	connection->answer[connection->received] = 0;
	const char *const end = strstr(connection->answer, "\r\n\r\n");
	if (end == NULL)
		return 0;
	const char *const length = strcasestr(connection->answer, "\r\ncontent-length:");
	if (length == NULL || length > end) {
		fprintf(stderr, "httpload: an answer without Content-Length\n");
		exit(1);
	}
	const size_t whole = (size_t)(end + 4 - connection->answer) + strtoul(length + 17, NULL, 10);
	if (connection->received < whole)
		return 0;
	return strncmp(connection->answer, "HTTP/1.1 200", 12) == 0 ? 1 : -1;
}

static void receive(int index)
{
	struct connection *const connection = &connections[index];
	const size_t room = sizeof connection->answer - 1 - connection->received;
	const ssize_t got = recv(connection->socket, connection->answer + connection->received, room, MSG_DONTWAIT);

	if (got < 0 && errno == EAGAIN)
		return;
	if (got <= 0 || !connection->busy) {
		fprintf(stderr, "httpload: a connection was ended: %s\n", got < 0 ? strerror(errno) : "end");
		exit(1);
	}
	connection->received += (size_t)got;
	const int result = look_at(connection);
	if (result == 0)
		return;
	if (result < 0)
		errors++;
	count(now() - connection->due);
	connection->busy = false;
	idle[idle_count++] = index;
}

int main(int argc, char **argv)
{
	if (argc != 6) {
		fprintf(stderr, "usage: httpload ADDRESS PORT CONNECTIONS RATE SECONDS\n");
		return 2;
	}
	const int port = atoi(argv[2]), wanted = atoi(argv[3]);
	const double rate = atof(argv[4]), seconds = atof(argv[5]);
	if (port < 1 || port > 65535 || wanted < 1 || wanted > MAX_CONNECTIONS || !(rate > 0) || !(seconds > 0)) {
		fprintf(stderr, "httpload: a number is out of range\n");
		return 2;
	}
	request_length = snprintf(request, sizeof request, "GET / HTTP/1.1\r\nHost: %s:%d\r\n\r\n", argv[1], port);
	const int epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	for (int index = 0; index < wanted; index++) {
		struct epoll_event event = {.events = EPOLLIN, .data.u32 = (uint32_t)index};
		connections[index].socket = dial(argv[1], port);
		epoll_ctl(epoll_fd, EPOLL_CTL_ADD, connections[index].socket, &event);
		idle[idle_count++] = index;
	}
	const int64_t begin = now(), requests = (int64_t)(rate * seconds);
	const int64_t give_up = begin + (int64_t)((seconds + GRACE_SECONDS) * 1e9);
	int64_t sent = 0, time = begin;
	while ((sent < requests || idle_count < wanted) && time < give_up) {
		int64_t due = begin + (int64_t)((double)sent * 1e9 / rate);
		for (; sent < requests && idle_count > 0 && due <= time; sent++) {
			send_request(idle[--idle_count], due);
			due = begin + (int64_t)((double)(sent + 1) * 1e9 / rate);
		}
		const int64_t until = sent < requests && idle_count > 0 ? due : give_up;
		const int64_t wait = until > time ? until - time : 0;
		const struct timespec timeout = {.tv_sec = wait / 1000000000, .tv_nsec = wait % 1000000000};
		struct epoll_event events[BATCH];
		const int ready = epoll_pwait2(epoll_fd, events, BATCH, &timeout, NULL);
		for (int i = 0; i < ready; i++)
			receive((int)events[i].data.u32);
		time = now();
	}
	for (int index = 0; index < wanted; index++) {
		if (connections[index].busy)
			count(time - connections[index].due);
		late += connections[index].busy;
	}
	for (; sent < requests; sent++, late++)
		count(time - (begin + (int64_t)((double)sent * 1e9 / rate)));
	printf("{\"requests\":%lu,\"errors\":%lu,\"late\":%lu,\"p50_us\":%.1f,\"p90_us\":%.1f,\"p99_us\":%.1f,\"p999_us\":%.1f,\"max_us\":%.1f}\n",
	       total, errors, late, percentile_us(0.5), percentile_us(0.9), percentile_us(0.99), percentile_us(0.999), (double)slowest / 1e3);
	return 0;
}
