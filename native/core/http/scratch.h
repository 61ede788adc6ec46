// Memory for what is converted from one version of HTTP to another, which all connections of an engine share. What is
// in it is good until the next conversion.
#pragma once

#include <string>

#include "../http1/head.h"
#include "../http2/head.h"

namespace weft::core::http {

struct Scratch {
  std::string text;
  http1::Head http1;
  http2::Head http2;
};

}  // namespace weft::core::http
