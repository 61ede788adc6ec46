#include "session.h"

#include <algorithm>
#include <cassert>
#include <cstdlib>
#include <cstring>
#include <limits>

#include "callbacks.h"

namespace weft::core::http2 {
namespace {

constexpr uint8_t kAlivePing[8] = {'w', 'e', 'f', 't', ' ', ' ', 'u', 'p'};
constexpr uint8_t kDrainPing[8] = {'w', 'e', 'f', 't', 'd', 'o', 'w', 'n'};
constexpr size_t kMaxSentHead = 1 << 20;   // a received one with what edits add
constexpr uint32_t kAssumedStreams = 100;  // that a server takes, until it has told
constexpr uint32_t kWindowsPerGrowth = 2;  // are consumed before one grows

const nghttp2_option* Options() {
  static const nghttp2_option* const options = [] {
    nghttp2_option* made = nullptr;
    if (nghttp2_option_new(&made) != 0) std::abort();
    nghttp2_option_set_no_auto_window_update(made, 1);
    nghttp2_option_set_no_closed_streams(made, 1);  // as many as may be open, for as long as the connection is
    nghttp2_option_set_max_send_header_block_length(made, kMaxSentHead);
    nghttp2_option_set_peer_max_concurrent_streams(made, kAssumedStreams);
    constexpr uint64_t kNever = std::numeric_limits<uint32_t>::max();
    // It counts readings, of which a frame may take any number; our inspector counts frames.
    nghttp2_option_set_max_continuations(made, kNever);
    // Ours knows which streams were served (flood_guard.h).
    nghttp2_option_set_stream_reset_rate_limit(made, kNever, kNever);
    return made;
  }();
  return options;
}

BlockPool& Pool(void* user) { return *static_cast<BlockPool*>(user); }

nghttp2_mem MemoryOf(BlockPool& pool) {
  const auto calloc = [](size_t count, size_t size, void* user) {
    void* const block = Pool(user).Take(count * size);  // of which the library makes sure that it does not overflow
    return block == nullptr ? nullptr : memset(block, 0, count * size);
  };
  return {&pool, [](size_t size, void* user) { return Pool(user).Take(size); },
          [](void* block, void* user) { Pool(user).Give(block); }, calloc,
          [](void* block, size_t size, void* user) { return Pool(user).Resize(block, size); }};
}

ErrorCode CodeOf(ssize_t library_error) {
  switch (library_error) {
    case NGHTTP2_ERR_FLOODED:
    case NGHTTP2_ERR_TOO_MANY_CONTINUATIONS:
      return ErrorCode::kEnhanceYourCalm;
    case NGHTTP2_ERR_BAD_CLIENT_MAGIC:
      return ErrorCode::kProtocolError;
    default:
      return ErrorCode::kInternalError;
  }
}

}  // namespace

Session::Session(Role role, const Limits& limits, SessionEvents& events)
    : role_(role), limits_(limits), events_(events), guard_(limits), inspector_(role == Role::kServer, guard_) {
  const bool server = role == Role::kServer;
  nghttp2_mem memory = MemoryOf(*blocks_);
  const int made = server ? nghttp2_session_server_new3(&session_, Callbacks::Table(), this, Options(), &memory)
                          : nghttp2_session_client_new3(&session_, Callbacks::Table(), this, Options(), &memory);
  if (made != 0) std::abort();
  const nghttp2_settings_entry settings[] = {
      {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, limits.window},
      {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, limits.max_head},
      {server ? NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS : NGHTTP2_SETTINGS_ENABLE_PUSH,
       server ? limits.max_streams : 0},
      {NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL, 1},
  };
  nghttp2_submit_settings(session_, NGHTTP2_FLAG_NONE, settings, server ? 4 : 3);
  nghttp2_session_set_local_window_size(session_, NGHTTP2_FLAG_NONE, 0, static_cast<int32_t>(limits.connection_window));
}

Session::~Session() {
  EndAll([](Stream&) {});
  nghttp2_session_del(session_);
}

bool Session::Receive(std::span<const std::byte> bytes, int64_t now_us) {
  now_us_ = now_us;
  if (failed_) return false;
  if (over() || bytes.empty()) return true;
  received_us_ = now_us;
  pinged_us_ = 0;
  const size_t fine = inspector_.Inspect(bytes, now_us);
  const ssize_t taken = nghttp2_session_mem_recv(session_, reinterpret_cast<const uint8_t*>(bytes.data()), fine);
  if (taken < 0) Fail(CodeOf(taken));
  if (fine < bytes.size()) Fail(inspector_.error());
  const size_t waiting = nghttp2_session_get_outbound_queue_size(session_);
  if (waiting > limits_.max_waiting_frames + open_streams_) Fail(ErrorCode::kEnhanceYourCalm);
  Announce();
  return !failed_;
}

size_t Session::Output(std::span<std::byte> into) {
  assert(into.size() >= kMinOutput);
  out_ = into;
  filled_ = 0;
  announced_ = true;
  while (filled_ < out_.size()) {
    if (frame_.empty()) {
      const uint8_t* data = nullptr;
      const ssize_t size = nghttp2_session_mem_send(session_, &data);
      if (size < 0) Fail(ErrorCode::kInternalError);
      if (size <= 0) break;
      frame_ = {data, static_cast<size_t>(size)};
    }
    const size_t size = std::min(frame_.size(), out_.size() - filled_);
    memcpy(out_.data() + filled_, frame_.data(), size);
    filled_ += size;
    frame_ = frame_.subspan(size);
  }
  out_ = {};
  announced_ = filled_ > 0 && has_output();
  return filled_;
}

bool Session::has_output() const { return !frame_.empty() || nghttp2_session_want_write(session_) != 0; }

bool Session::over() const { return !has_output() && (failed_ || nghttp2_session_want_read(session_) == 0); }

void Session::Announce() {
  if (announced_ || !has_output()) return;
  announced_ = true;
  events_.OnOutput();
}

void Session::Fail(ErrorCode code) {
  if (failed_) return;
  failed_ = true;
  error_ = code;
  nghttp2_session_terminate_session(session_, static_cast<uint32_t>(code));
  Announce();
}

void Session::Drain() {
  if (draining_ || failed_) return;
  draining_ = true;
  if (role_ == Role::kServer) {
    nghttp2_submit_shutdown_notice(session_);
    SubmitPing(true);
  } else {
    nghttp2_submit_goaway(session_, NGHTTP2_FLAG_NONE, 0, NGHTTP2_NO_ERROR, nullptr, 0);
  }
  Announce();
}

void Session::SubmitPing(bool of_drain) {
  nghttp2_submit_ping(session_, NGHTTP2_FLAG_NONE, of_drain ? kDrainPing : kAlivePing);
}

bool Session::IsOfDrain(const uint8_t* payload) { return memcmp(payload, kDrainPing, sizeof kDrainPing) == 0; }

int64_t Session::deadline_us() const {
  if (limits_.ping_after_us == 0 || received_us_ == 0) return 0;
  return pinged_us_ != 0 ? pinged_us_ + limits_.ping_timeout_us : received_us_ + limits_.ping_after_us;
}

bool Session::OnTime(int64_t now_us) {
  now_us_ = now_us;
  const int64_t deadline = deadline_us();
  if (deadline == 0 || now_us < deadline) return true;
  if (pinged_us_ != 0) return false;
  pinged_us_ = now_us;
  SubmitPing(false);
  Announce();
  return true;
}

Stream& Session::Adopt(int32_t id) {
  auto* const stream = new Stream(id);
  stream->window_ = limits_.window;
  streams_.PushBack(*stream);
  open_streams_++;
  return *stream;
}

void Session::Detach(Stream& stream) {
  nghttp2_session_set_stream_user_data(session_, stream.id_, nullptr);
  stream.Unlink();
  open_streams_--;
  growth_ -= stream.window_ - limits_.window;
}

void Session::Abandon(Stream& stream) {
  const std::unique_ptr<Stream> gone(&stream);
  Detach(stream);
}

bool Session::SubmitHead(Stream& stream, const Head& head) {
  thread_local std::vector<nghttp2_nv> fields;
  fields.clear();
  const auto add = [](std::string_view name, std::string_view value, bool sensitive = false) {
    fields.push_back({reinterpret_cast<uint8_t*>(const_cast<char*>(name.data())),
                      reinterpret_cast<uint8_t*>(const_cast<char*>(value.data())), name.size(), value.size(),
                      static_cast<uint8_t>(sensitive ? NGHTTP2_NV_FLAG_NO_INDEX : NGHTTP2_NV_FLAG_NONE)});
  };
  const auto add_present = [&](std::string_view name, Place place) {
    if (place.size != 0) add(name, head.at(place));
  };
  const char status[3] = {static_cast<char>('0' + head.status / 100), static_cast<char>('0' + head.status / 10 % 10),
                          static_cast<char>('0' + head.status % 10)};
  if (head.status != 0) {
    add(":status", {status, sizeof status});
  } else {
    add_present(":method", head.method_place);
    add_present(":protocol", head.protocol_place);
    add_present(":scheme", head.scheme_place);
    add_present(":authority", head.authority_place);
    add_present(":path", head.path_place);
  }
  for (const Field& field : head.fields) add(head.name(field), head.value(field), field.sensitive);

  const nghttp2_data_provider body = Callbacks::BodyOf();
  const nghttp2_data_provider* const provider = head.ends ? nullptr : &body;
  int result = 0;
  if (stream.trailers_ && &head == stream.trailers_.get()) {
    result = nghttp2_submit_trailer(session_, stream.id_, fields.data(), fields.size());
  } else if (head.status != 0 && head.status < 200) {
    result =
        nghttp2_submit_headers(session_, NGHTTP2_FLAG_NONE, stream.id_, nullptr, fields.data(), fields.size(), nullptr);
    return result == 0;
  } else if (role_ == Role::kServer) {
    result = nghttp2_submit_response(session_, stream.id_, fields.data(), fields.size(), provider);
  } else {
    stream.id_ = nghttp2_submit_request(session_, nullptr, fields.data(), fields.size(), provider, &stream);
    result = std::min(stream.id_, 0);
  }
  stream.head_sent_ = true;
  stream.finished_ = stream.finished_ || head.ends;
  return result == 0;
}

size_t Session::room(const Stream& stream) const {
  return stream.finished_ || stream.queued() >= limits_.max_queued ? 0 : limits_.max_queued - stream.queued();
}

size_t Session::Write(Stream& stream, std::span<const std::byte> bytes) {
  assert(stream.head_sent_);
  const size_t size = std::min(bytes.size(), room(stream));
  if (size == 0) return 0;
  memcpy(stream.queue_.Reserve(size), bytes.data(), size);
  stream.queue_.Commit(size);
  Resume(stream);
  return size;
}

void Session::Resume(Stream& stream) {
  nghttp2_session_resume_data(session_, stream.id_);
  Announce();
}

void Session::Finish(Stream& stream) {
  if (stream.finished_) return;
  assert(stream.head_sent_);
  stream.finished_ = true;
  Resume(stream);
}

void Session::FinishWith(Stream& stream, const Head& trailers) {
  if (stream.finished_) return;
  if (!trailers.fields.empty()) stream.trailers_ = std::make_unique<Head>(trailers);
  Finish(stream);
}

void Session::Consumed(Stream& stream, size_t bytes) {
  assert(bytes <= stream.held_);
  stream.held_ -= static_cast<uint32_t>(bytes);
  stream.consumed_ += static_cast<uint32_t>(bytes);
  if (stream.received_end_ || stream.discards_) return;
  if (stream.held_ == 0 && stream.consumed_ >= kWindowsPerGrowth * stream.window_) GrowWindow(stream);
  nghttp2_session_consume_stream(session_, stream.id_, bytes);
  Announce();
}

void Session::GrowWindow(Stream& stream) {
  stream.consumed_ = 0;
  const uint32_t window = std::min(stream.window_ * 2, limits_.max_window);
  const uint32_t growth = window - stream.window_;
  if (growth == 0 || growth_ + growth > limits_.max_growth) return;
  if (nghttp2_session_set_local_window_size(session_, NGHTTP2_FLAG_NONE, stream.id_, static_cast<int32_t>(window)) !=
      0) {
    return;
  }
  stream.window_ = window;
  growth_ += growth;
}

void Session::StopReading(Stream& stream) {
  if (stream.discards_) return;
  stream.discards_ = true;
  stream.held_ = 0;
  if (stream.sent_end_ && !stream.received_end_) SubmitReset(stream, ErrorCode::kNoError);
}

void Session::SubmitReset(Stream& stream, ErrorCode code) {
  nghttp2_submit_rst_stream(session_, NGHTTP2_FLAG_NONE, stream.id_, static_cast<uint32_t>(code));
  Announce();
}

void Session::Reset(Stream& stream, ErrorCode code) {
  const std::unique_ptr<Stream> gone(&stream);
  Detach(stream);
  SubmitReset(stream, code);
}

}  // namespace weft::core::http2
