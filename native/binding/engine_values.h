// What JavaScript gives the engine and gets of it, but for HTTP.
#pragma once

#include <nan.h>

#include <vector>

#include "../core/engine.h"

namespace weft::binding {

const char* NameOfResult(core::ProbeResult result);
const char* Explain(core::tls::ContextError error);
v8::Local<v8::Object> ToObject(const core::EngineStatistics& statistics);

// The caller wipes the key.
core::tls::Identity ReadIdentity(v8::Local<v8::Value> credentials);
std::vector<core::tls::TicketKey> ReadTicketKeys(v8::Local<v8::Value> keys);
core::ProbeRequest ReadProbeRequest(v8::Local<v8::Value> request);

}  // namespace weft::binding
