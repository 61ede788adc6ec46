/*
 * A TCP client and server for tests and benchmarks, with no more cost of its own than the calls it makes.
 *
 *   tcpload serve PORTS
 *       echoes everything; prints "listening"
 *   tcpload greet PORTS
 *       says one byte first, then echoes
 *   tcpload churn HOST PORTS CONNECTIONS CONCURRENCY RATE
 *       connect, send 1 byte, read 1 byte, close; RATE per second, 0 = as fast as it goes
 *   tcpload greeted HOST PORTS CONNECTIONS CONCURRENCY RATE
 *       as churn, but says nothing: the server speaks first
 *   tcpload hold HOST PORTS CONNECTIONS
 *       opens them, proves each, prints "holding", keeps them until standard input ends, then proves each once more
 *
 * PORTS is one or, as 9000-9099, several, which connections take in turn. churn, greeted and hold print one JSON line:
 * {"succeeded":…,"failed":…,"seconds":…,"errors":{"ECONNREFUSED":…}}; exit code 1 when any failed.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MAX_FDS = 20000, BATCH = 256, DEADLINE_SECONDS = 20, MAX_PORTS = 1024 };

static int epoll_fd;
static bool server_speaks_first;
static long succeeded, failed, errors[256];
static struct {
	double deadline;
	bool open, established;
} states[MAX_FDS];

static struct addrinfo *addresses[MAX_PORTS];
static int address_count;

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static void fail(int error)
{
	failed++;
	errors[error > 0 && error < 256 ? error : 0]++;
}

static void watch(int fd, unsigned events, int operation)
{
	struct epoll_event event = {.events = events, .data.fd = fd};

	if (epoll_ctl(epoll_fd, operation, fd, &event) != 0) {
		perror("epoll_ctl");
		exit(2);
	}
}

static void parse_ports(const char *ports, int *first, int *last)
{
	int found = sscanf(ports, "%d-%d", first, last);

	if (found == 1)
		*last = *first;
	if (found < 1 || *first < 1 || *last < *first || *last > 65535 || *last - *first >= MAX_PORTS) {
		fprintf(stderr, "tcpload: %s is no port and no range of at most %d\n", ports, MAX_PORTS);
		exit(2);
	}
}

static void resolve(const char *host, const char *ports)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV};
	int first, last;

	parse_ports(ports, &first, &last);
	for (int port = first; port <= last; port++) {
		char name[8];

		snprintf(name, sizeof(name), "%d", port);
		if (getaddrinfo(host, name, &hints, &addresses[address_count++]) != 0) {
			fprintf(stderr, "tcpload: %s is no address\n", host);
			exit(2);
		}
	}
}

static void start_connection(const struct addrinfo *address)
{
	int fd = socket(address->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0 || fd >= MAX_FDS) {
		fail(fd < 0 ? errno : EMFILE);
		if (fd >= 0)
			close(fd);
		return;
	}
	if (connect(fd, address->ai_addr, address->ai_addrlen) != 0 && errno != EINPROGRESS) {
		fail(errno);
		close(fd);
		return;
	}
	states[fd].deadline = now() + DEADLINE_SECONDS;
	states[fd].open = true;
	states[fd].established = false;
	watch(fd, EPOLLOUT, EPOLL_CTL_ADD);
}

static void end_connection(int fd, int error)
{
	if (error)
		fail(error);
	else
		succeeded++;
	states[fd].open = false;
	close(fd);
}

/* Returns whether the connection has ended. */
static bool advance(int fd, bool close_after_echo)
{
	char byte = 'w';

	if (!states[fd].established) {
		int error = 0;
		socklen_t size = sizeof(error);

		getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size);
		if (error || (!server_speaks_first && send(fd, &byte, 1, MSG_NOSIGNAL) != 1)) {
			end_connection(fd, error ? error : errno);
			return true;
		}
		states[fd].established = true;
		watch(fd, EPOLLIN, EPOLL_CTL_MOD);
		return false;
	}
	ssize_t size = recv(fd, &byte, 1, 0);
	if (size == 1 && !close_after_echo) {
		states[fd].deadline = 1e18;
		succeeded++;
		return true;
	}
	end_connection(fd, size == 1 ? 0 : size == 0 ? EPIPE : errno);
	return true;
}

static long expire(void)
{
	double time = now();
	long ended = 0;

	for (int fd = 0; fd < MAX_FDS; fd++) {
		if (states[fd].open && states[fd].deadline < time) {
			end_connection(fd, ETIMEDOUT);
			ended++;
		}
	}
	return ended;
}

static void run(long connections, long concurrency, double rate, bool close_after_echo)
{
	long started = 0, running = 0;
	double begin = now(), next_expiry = begin + 1;

	while (succeeded + failed < connections) {
		while (started < connections && running < concurrency &&
		       (rate == 0 || started < (now() - begin) * rate)) {
			long failed_before = failed;

			start_connection(addresses[started % address_count]);
			started++;
			if (failed == failed_before)
				running++;
		}
		struct epoll_event events[BATCH];
		int count = epoll_wait(epoll_fd, events, BATCH, rate > 0 ? 1 : 100);
		for (int i = 0; i < count; i++)
			if (advance(events[i].data.fd, close_after_echo))
				running--;
		if (now() > next_expiry) {
			running -= expire();
			next_expiry = now() + 1;
		}
	}
}

static int report(double begin)
{
	bool first = true;

	printf("{\"succeeded\":%ld,\"failed\":%ld,\"seconds\":%.3f,\"errors\":{", succeeded, failed, now() - begin);
	for (int error = 0; error < 256; error++) {
		if (!errors[error])
			continue;
		printf("%s\"%s\":%ld", first ? "" : ",", error ? strerrorname_np(error) : "unknown", errors[error]);
		first = false;
	}
	printf("}}\n");
	return failed ? 1 : 0;
}

static int hold(long connections)
{
	double begin = now();
	char byte;

	run(connections, 64, 0, false);
	printf("holding\n");
	fflush(stdout);
	while (read(0, &byte, 1) > 0)
		;
	succeeded = 0;
	for (int fd = 0; fd < MAX_FDS; fd++) {
		struct timeval timeout = {.tv_sec = 5};

		if (!states[fd].open)
			continue;
		/* Blocking from here on: one after the other is enough. */
		setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
		byte = 'w';
		ssize_t size = send(fd, &byte, 1, MSG_NOSIGNAL);
		for (int tries = 0; size == 1 && tries < 5000; tries++) {
			size = recv(fd, &byte, 1, 0);
			if (size >= 0 || errno != EAGAIN)
				break;
			size = 1;
			usleep(1000);
		}
		end_connection(fd, size == 1 ? 0 : size == 0 ? EPIPE : errno);
	}
	return report(begin);
}

static int listen_on(int port)
{
	int on = 1, off = 0, listener = socket(AF_INET6, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	struct sockaddr_in6 any = {.sin6_family = AF_INET6, .sin6_port = htons((unsigned short)port)};

	setsockopt(listener, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(listener, (struct sockaddr *)&any, sizeof(any)) != 0 || listen(listener, 4096) != 0) {
		perror("tcpload: cannot listen");
		exit(2);
	}
	watch(listener, EPOLLIN, EPOLL_CTL_ADD);
	return listener;
}

static _Noreturn void serve(const char *ports)
{
	int first, last, last_listener = 0;
	static char buffer[65536];

	/* Nothing else is open yet, so listeners have the lowest descriptors. */
	parse_ports(ports, &first, &last);
	for (int port = first; port <= last; port++)
		last_listener = listen_on(port);
	printf("listening\n");
	fflush(stdout);
	for (;;) {
		struct epoll_event events[BATCH];
		int count = epoll_wait(epoll_fd, events, BATCH, -1);

		for (int i = 0; i < count; i++) {
			int fd = events[i].data.fd;

			if (fd <= last_listener) {
				int client = accept4(fd, NULL, NULL, SOCK_CLOEXEC);

				if (client < 0)
					continue;
				if (server_speaks_first)
					send(client, "g", 1, MSG_NOSIGNAL);
				watch(client, EPOLLIN, EPOLL_CTL_ADD);
				continue;
			}
			ssize_t size = recv(fd, buffer, sizeof(buffer), MSG_DONTWAIT);
			if (size <= 0 || send(fd, buffer, (size_t)size, MSG_NOSIGNAL) != size)
				close(fd);
		}
	}
}

int main(int argc, char **argv)
{
	struct rlimit files;

	getrlimit(RLIMIT_NOFILE, &files);
	files.rlim_cur = files.rlim_max;
	setrlimit(RLIMIT_NOFILE, &files);
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	server_speaks_first = argc > 1 && strncmp(argv[1], "greet", 5) == 0;
	if (argc == 3 && (strcmp(argv[1], "serve") == 0 || strcmp(argv[1], "greet") == 0))
		serve(argv[2]);
	if (argc == 7 && (strcmp(argv[1], "churn") == 0 || strcmp(argv[1], "greeted") == 0)) {
		double begin = now();

		resolve(argv[2], argv[3]);
		run(atol(argv[4]), atol(argv[5]), atof(argv[6]), true);
		return report(begin);
	}
	if (argc == 5 && strcmp(argv[1], "hold") == 0) {
		resolve(argv[2], argv[3]);
		return hold(atol(argv[4]));
	}
	fprintf(stderr, "usage: tcpload serve|greet PORTS | churn|greeted HOST PORTS CONNECTIONS CONCURRENCY RATE | hold "
			"HOST PORTS CONNECTIONS\n");
	return 2;
}
