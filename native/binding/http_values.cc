#include "http_values.h"

#include <string>
#include <utility>
#include <vector>

#include "values.h"

namespace weft::binding {
namespace {

std::vector<std::string> StringList(v8::Local<v8::Value> value, const char* name) {
  if (value->IsUndefined()) return {};
  if (!value->IsArray()) throw std::invalid_argument(std::string(name) + " must be a list");
  const auto list = value.As<v8::Array>();
  std::vector<std::string> result;
  for (uint32_t i = 0; i < list->Length(); i++) {
    const v8::Local<v8::Value> text = Nan::Get(list, i).ToLocalChecked();
    if (!text->IsString()) throw std::invalid_argument(std::string(name) + " must be a list of strings");
    result.emplace_back(*Nan::Utf8String(text));
  }
  return result;
}

std::vector<core::http::HeaderField> Fields(v8::Local<v8::Value> value, const char* name) {
  if (value->IsUndefined()) return {};
  const v8::Local<v8::Object> object = ObjectValue(value, name);
  std::vector<core::http::HeaderField> fields;
  for (const std::string& field : StringList(Nan::GetOwnPropertyNames(object).ToLocalChecked(), name)) {
    fields.push_back({field, StringProperty(object, field.c_str())});
  }
  return fields;
}

}  // namespace

core::http::HeaderEdits ReadHeaderEdits(v8::Local<v8::Value> value) {
  const v8::Local<v8::Object> edits = ObjectValue(value, "edits");
  return {.remove = StringList(Property(edits, "remove"), "remove"),
          .set = Fields(Property(edits, "set"), "set"),
          .add = Fields(Property(edits, "add"), "add")};
}

core::http::SyntheticResponse ReadResponse(v8::Local<v8::Value> value) {
  const v8::Local<v8::Object> given = ObjectValue(value, "response");
  core::http::SyntheticResponse response;
  response.status = UnsignedProperty(given, "status");
  response.headers = Fields(Property(given, "headers"), "headers");
  response.body = OptionalStringProperty(given, "body").value_or("");
  response.grpc_message = OptionalStringProperty(given, "grpcMessage").value_or("");
  if (!Property(given, "grpcStatus")->IsUndefined()) response.grpc_status = UnsignedProperty(given, "grpcStatus");
  return response;
}

v8::Local<v8::String> ToString(std::string_view text) {
  return Nan::NewOneByteString(reinterpret_cast<const uint8_t*>(text.data()), static_cast<int>(text.size()))
      .ToLocalChecked();
}

}  // namespace weft::binding
