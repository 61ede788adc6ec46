// Reading what TypeScript defines for HTTP, and showing what requests say.
#pragma once

#include <nan.h>

#include <string_view>

#include "../core/http/http_decisions.h"

namespace weft::binding {

core::http::HeaderEdits ReadHeaderEdits(v8::Local<v8::Value> value);
core::http::SyntheticResponse ReadResponse(v8::Local<v8::Value> value);
// Fields of HTTP are bytes; those above 0x7f are shown as Latin-1.
v8::Local<v8::String> ToString(std::string_view text);

}  // namespace weft::binding
