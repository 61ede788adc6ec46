// What all HTTP connections of one engine share.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <unordered_map>

#include "../connection.h"
#include "../dial.h"
#include "../http1/limits.h"
#include "../list.h"
#include "../names.h"
#include "../tunnel.h"
#include "../tunnel_pool.h"
#include "authorities.h"
#include "definitions.h"
#include "exchange_pool.h"
#include "head_view.h"
#include "http2_upstream_pool.h"
#include "http_decisions.h"
#include "message_batch.h"
#include "scratch.h"
#include "upstream_pool.h"

namespace weft::core::http {

class Http2ServerConnection;

class StreamSource {
 public:
  // Opens a stream over a tunnel for the waiter, now or later. false: there are no such credentials.
  virtual bool OpenStream(const TunnelKey& key, uint32_t connect_timeout_ms, StreamWaiter& waiter) = 0;

 protected:
  ~StreamSource() = default;
};

struct Shared {
  static constexpr size_t kReadBytes = 64 * 1024;

  Shared(const DialContext& dial_context, ConnectionOwner& connection_owner, StreamSource& stream_source, Names& names,
         HttpDecisions* http_decisions, RequestRecord* request_record, std::span<RequestRecord> request_records,
         uint32_t max_age_ms)
      : loop(dial_context.loop),
        dial(dial_context),
        owner(connection_owner),
        streams(stream_source),
        decisions(http_decisions),
        record(request_record),
        records(request_records),
        max_age_us(int64_t{max_age_ms} * 1000),
        authorities(names),
        exchanges(*this),
        pool(*this),
        http2_pool(*this) {}

  std::span<char> buffer() { return {read_buffer.get(), kReadBytes}; }
  std::span<char> output() { return {output_buffer.get(), kReadBytes}; }
  // Its own ones: nobody else can use them.
  void EndConnectionsOf(const Identity& client) {
    pool.EndOwnOf(client);
    http2_pool.EndOwnOf(client);
  }

  EventLoop& loop;
  const DialContext& dial;
  ConnectionOwner& owner;
  StreamSource& streams;
  HttpDecisions* const decisions;
  RequestRecord* const record;             // of one that has failed or ended
  const std::span<RequestRecord> records;  // of those that are asked about
  const int64_t max_age_us;                // of connections that requests are sent on
  const http1::Limits limits{};
  std::unique_ptr<char[]> read_buffer = std::make_unique_for_overwrite<char[]>(kReadBytes);
  std::unique_ptr<char[]> output_buffer = std::make_unique_for_overwrite<char[]>(kReadBytes);
  http1::Head request_head;
  http1::Head response_head;
  std::string written_head;
  std::string written_end;
  Definitions definitions;
  Authorities authorities;
  ExchangePool exchanges;
  UpstreamPool pool;
  Http2UpstreamPool http2_pool;
  List<Http2ServerConnection, Http2ServerConnection> http2_connections;
  MessageBatch to_clients;
  MessageBatch to_upstreams;
  Scratch scratch;
  // The request that OnFailure is being asked about: its head, or the head of HTTP/1 that it was forwarded with.
  HeadView asked_head;
  std::string_view asked_text;
  http1::Head parsed_head;
  // Connections end after the exchange that is under way.
  bool draining = false;
};

}  // namespace weft::core::http
