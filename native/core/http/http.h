// All of HTTP of one engine: what its connections share, and what decisions may ask and define.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "http_decisions.h"

namespace weft::core::http {

class Http {
 public:
  // Of the request that OnRequest or OnFailure is being asked about; empty at any other time and of a request that
  // could not be read.
  std::string_view RequestMethod() const;
  std::string_view RequestPath() const;  // with its query
  std::string_view RequestAuthority() const;
  // All fields of the name in one list; false: there is none.
  bool RequestHeader(std::string_view name, std::string& value) const;

  // 0: an edit would not be a field, or is about the connection or framing.
  uint32_t DefineHeaderEdits(HeaderEdits edits);
  // 0: no response.
  uint32_t DefineResponse(SyntheticResponse response);
  // Requests that have been decided keep what they were given.
  void ReleaseHeaderEdits(uint32_t number);
  void ReleaseResponse(uint32_t number);

  // Decides on a request that was held. false: it has ended meanwhile.
  bool ResumeRequest(uint32_t exchange, const RequestDecision& decision);
  // Ends the requests that go there, and closes pooled connections. Not to be called by OnRequest or OnFailure.
  void RevokeRequests(uint32_t upstream_context);
};

}  // namespace weft::core::http
