// Responses of our own: what decisions defined, as the client needs it.
#pragma once

#include <string>

#include "definitions.h"

namespace weft::core::http {

struct SyntheticForm {
  bool grpc;    // as trailers only (gRPC over HTTP/2, "Responses")
  bool head;    // the request was HEAD
  bool http10;  // of a client of HTTP/1.0
  bool close;   // the connection ends behind it
};

uint32_t GrpcStatusOf(const ResponseDefinition& response);
void WriteSynthetic(const ResponseDefinition& response, const SyntheticForm& form, std::string& out);

}  // namespace weft::core::http
