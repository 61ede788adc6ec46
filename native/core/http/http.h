// All of HTTP of one engine: what decisions may ask of it and define, and the connections that it takes.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "byte_stream.h"
#include "shared.h"

namespace weft::core::http {

class Http {
 public:
  Http(const DialContext& dial, ConnectionOwner& owner, StreamSource& streams, Names& names, HttpDecisions* decisions,
       RequestRecord* record, std::span<RequestRecord> records, uint32_t max_age_ms)
      : shared_(dial, owner, streams, names, decisions, record, records, max_age_ms) {}

  // Which of those that OnRequests is being asked about the next four tell of.
  void Show(size_t request) { shared_.exchanges.Show(request); }
  // Of the request that OnFailure is being asked about, or of that one; empty at any other time and of a request that
  // could not be read. In OnFailure fields are those that it was forwarded with.
  std::string_view RequestMethod();
  // The target as it came.
  std::string_view RequestPath();
  // In lower case.
  std::string_view RequestAuthority();
  // All fields of the name in one list; false: there is none.
  bool RequestHeader(std::string_view name, std::string& value);

  // 0: an edit would not be a field, or is about the connection or framing.
  uint32_t DefineHeaderEdits(HeaderEdits edits) { return shared_.definitions.Define(std::move(edits)); }
  // 0: no response.
  uint32_t DefineResponse(SyntheticResponse response) { return shared_.definitions.Define(std::move(response)); }
  // Exchanges that have it go on with it.
  void ReleaseHeaderEdits(uint32_t number) { shared_.definitions.ReleaseEdits(number); }
  void ReleaseResponse(uint32_t number) { shared_.definitions.ReleaseResponse(number); }

  // Decides on a request that is held. false: it has ended meanwhile.
  bool ResumeRequest(uint32_t exchange, const RequestDecision& decision) {
    return shared_.exchanges.Resume(exchange, decision);
  }
  // Ends the exchanges that were forwarded with this context, and closes the connections that they used. Not to be
  // called by OnRequests, OnFailure or OnResponse.
  void RevokeRequests(uint32_t upstream_context);

  bool enabled() const { return shared_.decisions != nullptr && shared_.record != nullptr && !shared_.records.empty(); }
  // Takes a client's connection: the owner's from now on.
  Connection& Serve(const Identity& identity, int64_t accepted_us, const Decision& decision, Descriptor client);
  Connection& Serve(const Identity& identity, int64_t accepted_us, const Decision& decision,
                    std::unique_ptr<ByteStream> stream);
  // Connections end after the request that is under way.
  void Drain();
  uint32_t upstream_connections() const { return shared_.pool.connections() + shared_.http2_pool.connections(); }

 private:
  // Of what decisions are asked about.
  HeadView Asked();

  Shared shared_;
};

}  // namespace weft::core::http
