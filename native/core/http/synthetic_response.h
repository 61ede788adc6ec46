// Responses of our own: what decisions defined, as the client needs it.
#pragma once

#include <string>

#include "../http2/head.h"
#include "definitions.h"

namespace weft::core::http {

struct SyntheticForm {
  bool grpc;            // as trailers only (gRPC over HTTP/2, "Responses")
  bool head;            // the request was HEAD
  bool http10 = false;  // of a client of HTTP/1.0
  bool close = false;   // the connection ends behind it
};

uint32_t GrpcStatusOf(const ResponseDefinition& response);
void WriteSyntheticHttp1(const ResponseDefinition& response, const SyntheticForm& form, std::string& out);

// What is not said by its end is its body.
void MakeSyntheticHttp2(const ResponseDefinition& response, const SyntheticForm& form, http2::Head& out);

}  // namespace weft::core::http
