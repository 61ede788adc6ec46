/*
 * A gRPC server, in HTTP/2 without TLS, whose every method answers with the message that it was sent. It costs next to nothing, so
 * that a load of it measures what is in between.
 *
 *   grpc-unary PORT
 *
 * Prints a line once it listens, and serves until it is stopped.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <nghttp2/nghttp2.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

/* MAX_BODY: a message with its prefix. */
enum { MAX_BODY = 16384, PREFIX = 5, BATCH = 64, BUFFER = 64 * 1024, MAX_STREAMS = 1024 };

/* google.rpc.Code */
enum { OK = 0, RESOURCE_EXHAUSTED = 8, INTERNAL = 13 };

struct stream {
	struct stream *next, **link; /* of its connection's */
	bool is_grpc;
	int status;
	size_t received, sent;
	uint8_t body[MAX_BODY];
};

struct connection {
	int socket;
	bool blocked; /* the socket takes no more now */
	nghttp2_session *session;
	struct stream *streams;
	const uint8_t *frame; /* of the session, and not in `out` yet */
	size_t frame_size, out_size, out_sent;
	uint8_t out[BUFFER];
};

static nghttp2_session_callbacks *callbacks;

#define FIELD(name, value) {(uint8_t *)(name), (uint8_t *)(value), sizeof(name) - 1, strlen(value), NGHTTP2_NV_FLAG_NONE}

static struct stream *stream_of(nghttp2_session *session, int32_t id)
{
	return nghttp2_session_get_stream_user_data(session, id);
}

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
	struct connection *const connection = user;

	if (frame->hd.type != NGHTTP2_HEADERS || frame->headers.cat != NGHTTP2_HCAT_REQUEST)
		return 0;
	struct stream *const stream = malloc(sizeof *stream);
	if (stream == NULL)
		return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
	stream->next = connection->streams;
	stream->link = &connection->streams;
	if (stream->next != NULL)
		stream->next->link = &stream->next;
	connection->streams = stream;
	stream->is_grpc = false;
	stream->status = OK;
	stream->received = stream->sent = 0;
	return nghttp2_session_set_stream_user_data(session, frame->hd.stream_id, stream);
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name, size_t name_size, const uint8_t *value,
                     size_t value_size, uint8_t flags, void *user)
{
	static const char wanted_name[] = "content-type", wanted[] = "application/grpc";
	struct stream *const stream = stream_of(session, frame->hd.stream_id);

	(void)flags, (void)user;
	if (stream != NULL && name_size == sizeof wanted_name - 1 && memcmp(name, wanted_name, name_size) == 0)
		stream->is_grpc = value_size >= sizeof wanted - 1 && memcmp(value, wanted, sizeof wanted - 1) == 0;
	return 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data, size_t size, void *user)
{
	struct stream *const stream = stream_of(session, id);

	(void)flags, (void)user;
	if (stream == NULL)
		return 0;
	if (size > MAX_BODY - stream->received) {
		stream->status = RESOURCE_EXHAUSTED;
		return 0;
	}
	memcpy(stream->body + stream->received, data, size);
	stream->received += size;
	return 0;
}

static bool is_one_message(const struct stream *stream)
{
	const uint8_t *const body = stream->body;

	if (stream->received < PREFIX || body[0] != 0)
		return false;
	const size_t length = (size_t)body[1] << 24 | (size_t)body[2] << 16 | (size_t)body[3] << 8 | body[4];
	return length == stream->received - PREFIX;
}

static ssize_t read_body(nghttp2_session *session, int32_t id, uint8_t *into, size_t size, uint32_t *flags, nghttp2_data_source *source,
                         void *user)
{
	static const nghttp2_nv trailers[] = {FIELD("grpc-status", "0")};
	struct stream *const stream = source->ptr;
	const size_t left = stream->received - stream->sent, given = left < size ? left : size;

	(void)user;
	memcpy(into, stream->body + stream->sent, given);
	stream->sent += given;
	if (given < left)
		return (ssize_t)given;
	*flags |= NGHTTP2_DATA_FLAG_EOF | NGHTTP2_DATA_FLAG_NO_END_STREAM;
	return nghttp2_submit_trailer(session, id, trailers, 1) == 0 ? (ssize_t)given : NGHTTP2_ERR_CALLBACK_FAILURE;
}

static int answer(nghttp2_session *session, int32_t id, struct stream *stream)
{
	static const nghttp2_nv head[] = {FIELD(":status", "200"), FIELD("content-type", "application/grpc")};
	static const nghttp2_nv refusal[] = {FIELD(":status", "415")};
	const nghttp2_data_provider body = {.source = {.ptr = stream}, .read_callback = read_body};

	if (!stream->is_grpc)
		return nghttp2_submit_response(session, id, refusal, 1, NULL);
	if (stream->status == OK && !is_one_message(stream))
		stream->status = INTERNAL;
	if (stream->status == OK)
		return nghttp2_submit_response(session, id, head, 2, &body);
	const nghttp2_nv failure[] = {FIELD(":status", "200"), FIELD("content-type", "application/grpc"),
	                              FIELD("grpc-status", stream->status == INTERNAL ? "13" : "8")};
	return nghttp2_submit_response(session, id, failure, 3, NULL);
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
	const bool can_end = frame->hd.type == NGHTTP2_DATA || frame->hd.type == NGHTTP2_HEADERS;

	(void)user;
	if (!can_end || (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) == 0)
		return 0;
	struct stream *const stream = stream_of(session, frame->hd.stream_id);
	return stream == NULL || answer(session, frame->hd.stream_id, stream) == 0 ? 0 : NGHTTP2_ERR_CALLBACK_FAILURE;
}

static int on_close(nghttp2_session *session, int32_t id, uint32_t code, void *user)
{
	struct stream *const stream = stream_of(session, id);

	(void)code, (void)user;
	if (stream == NULL)
		return 0;
	*stream->link = stream->next;
	if (stream->next != NULL)
		stream->next->link = stream->link;
	free(stream);
	return 0;
}

static void make_callbacks(void)
{
	if (nghttp2_session_callbacks_new(&callbacks) != 0)
		abort();
	nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin_headers);
	nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
	nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
	nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_close);
}

static void end(struct connection *connection)
{
	nghttp2_session_del(connection->session);
	for (struct stream *stream = connection->streams, *next; stream != NULL; stream = next) {
		next = stream->next;
		free(stream);
	}
	close(connection->socket);
	free(connection);
}

static void watch(int epoll_fd, int operation, struct connection *connection)
{
	struct epoll_event event = {.events = EPOLLIN | (connection->blocked ? EPOLLOUT : 0u), .data.ptr = connection};

	epoll_ctl(epoll_fd, operation, connection->socket, &event);
}

static void begin(int epoll_fd, int socket_fd)
{
	const int one = 1;
	const nghttp2_settings_entry settings[] = {{NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, MAX_STREAMS}};
	struct connection *const connection = calloc(1, sizeof *connection);

	if (connection == NULL || nghttp2_session_server_new(&connection->session, callbacks, connection) != 0)
		abort();
	connection->socket = socket_fd;
	setsockopt(socket_fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	nghttp2_submit_settings(connection->session, NGHTTP2_FLAG_NONE, settings, 1);
	watch(epoll_fd, EPOLL_CTL_ADD, connection);
}

/* What many frames make goes out in one write. false: the session has failed. */
static bool fill(struct connection *connection)
{
	connection->out_size = connection->out_sent = 0;
	while (true) {
		if (connection->frame_size == 0) {
			const ssize_t size = nghttp2_session_mem_send(connection->session, &connection->frame);
			if (size <= 0)
				return size == 0;
			connection->frame_size = (size_t)size;
		}
		if (connection->frame_size > BUFFER - connection->out_size)
			return true;
		memcpy(connection->out + connection->out_size, connection->frame, connection->frame_size);
		connection->out_size += connection->frame_size;
		connection->frame_size = 0;
	}
}

/* false: the connection is over. */
static bool flush(int epoll_fd, struct connection *connection)
{
	while (true) {
		if (connection->out_sent == connection->out_size && !fill(connection))
			return false;
		const size_t left = connection->out_size - connection->out_sent;
		const ssize_t sent = left == 0 ? 0 : send(connection->socket, connection->out + connection->out_sent, left, MSG_NOSIGNAL);
		const bool blocked = sent < 0 && errno == EAGAIN;
		if (blocked != connection->blocked) {
			connection->blocked = blocked;
			watch(epoll_fd, EPOLL_CTL_MOD, connection);
		}
		if (blocked)
			return true;
		if (sent < 0)
			return false;
		if (left == 0)
			return nghttp2_session_want_read(connection->session) != 0;
		connection->out_sent += (size_t)sent;
	}
}

static bool work(int epoll_fd, struct connection *connection, uint32_t events)
{
	static uint8_t buffer[BUFFER];

	if ((events & (EPOLLIN | EPOLLERR | EPOLLHUP)) != 0) {
		const ssize_t got = recv(connection->socket, buffer, sizeof buffer, 0);
		if (got == 0 || (got < 0 && errno != EAGAIN))
			return false;
		if (got > 0 && nghttp2_session_mem_recv(connection->session, buffer, (size_t)got) < 0)
			return false;
	}
	return flush(epoll_fd, connection);
}

static int listen_on(int port)
{
	const int one = 1, listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	const struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = INADDR_ANY};

	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	if (listener < 0 || bind(listener, (const struct sockaddr *)&address, sizeof address) != 0 || listen(listener, SOMAXCONN) != 0) {
		perror("grpc-unary: cannot listen");
		exit(1);
	}
	printf("listening on %d\n", port);
	fflush(stdout);
	return listener;
}

int main(int argc, char **argv)
{
	const int port = argc == 2 ? atoi(argv[1]) : 0;

	if (port < 1 || port > 65535) {
		fprintf(stderr, "usage: grpc-unary PORT\n");
		return 2;
	}
	make_callbacks();
	const int listener = listen_on(port), epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	struct epoll_event accepts = {.events = EPOLLIN, .data.ptr = NULL};
	epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listener, &accepts);
	while (true) {
		struct epoll_event events[BATCH];
		const int ready = epoll_wait(epoll_fd, events, BATCH, -1);
		for (int i = 0; i < ready; i++) {
			struct connection *const connection = events[i].data.ptr;
			if (connection != NULL) {
				if (!work(epoll_fd, connection, events[i].events))
					end(connection);
				continue;
			}
			const int socket_fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
			if (socket_fd >= 0)
				begin(epoll_fd, socket_fd);
		}
	}
}
