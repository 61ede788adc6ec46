// Reading JavaScript values. A value of the wrong type throws a TypeError that names the property.
#pragma once

#include <nan.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <system_error>
#include <vector>

#include "../../bpf/weft.h"

namespace weft::binding {

inline v8::Local<v8::Value> Property(v8::Local<v8::Object> object, const char* name) {
  return Nan::Get(object, Nan::New(name).ToLocalChecked()).FromMaybe(Nan::Undefined().As<v8::Value>());
}

inline std::string StringProperty(v8::Local<v8::Object> object, const char* name) {
  const v8::Local<v8::Value> value = Property(object, name);
  if (!value->IsString()) throw std::invalid_argument(std::string(name) + " must be a string");
  return *Nan::Utf8String(value);
}

inline std::optional<std::string> OptionalStringProperty(v8::Local<v8::Object> object, const char* name) {
  if (Property(object, name)->IsUndefined()) return std::nullopt;
  return StringProperty(object, name);
}

inline uint32_t UnsignedValue(v8::Local<v8::Value> value, const char* name) {
  if (!value->IsUint32()) throw std::invalid_argument(std::string(name) + " must be an unsigned 32-bit integer");
  return Nan::To<uint32_t>(value).FromJust();
}

inline uint32_t UnsignedProperty(v8::Local<v8::Object> object, const char* name) {
  return UnsignedValue(Property(object, name), name);
}

inline v8::Local<v8::Object> ObjectValue(v8::Local<v8::Value> value, const char* name) {
  if (!value->IsObject()) throw std::invalid_argument(std::string(name) + " must be an object");
  return value.As<v8::Object>();
}

inline void Set(v8::Local<v8::Object> object, const char* name, v8::Local<v8::Value> value) {
  Nan::Set(object, Nan::New(name).ToLocalChecked(), value).Check();
}

int DescriptorProperty(v8::Local<v8::Object> object, const char* name);

// Keeps what lies behind an ArrayBuffer of at least so many bytes.
std::shared_ptr<v8::BackingStore> BufferProperty(v8::Local<v8::Object> object, const char* name, size_t bytes);

v8::Local<v8::Value> ToUint8Array(const struct address& address);

std::string Bytes(v8::Local<v8::Value> value);
std::vector<std::string> BytesList(v8::Local<v8::Value> value);
std::vector<uint32_t> UnsignedList(v8::Local<v8::Value> value, const char* name);

// Runs a method's body and turns C++ exceptions into JavaScript ones: `code` is the errno's name.
template <typename Body>
void Guarded(Body body) {
  try {
    body();
  } catch (const std::system_error& error) {
    const v8::Local<v8::Object> exception = Nan::Error(error.what()).As<v8::Object>();
    Set(exception, "code", Nan::New(uv_err_name(-error.code().value())).ToLocalChecked());
    Nan::ThrowError(exception.As<v8::Value>());
  } catch (const std::exception& error) {
    Nan::ThrowTypeError(error.what());
  }
}

}  // namespace weft::binding
