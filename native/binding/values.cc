#include "values.h"

#include <cstring>

namespace weft::binding {

int DescriptorProperty(v8::Local<v8::Object> object, const char* name) {
  const v8::Local<v8::Value> value = Property(object, name);
  if (!value->IsInt32()) throw std::invalid_argument(std::string(name) + " must be a descriptor or -1");
  return Nan::To<int32_t>(value).FromJust();
}

std::shared_ptr<v8::BackingStore> BufferProperty(v8::Local<v8::Object> object, const char* name, size_t bytes) {
  const v8::Local<v8::Value> value = Property(object, name);
  if (!value->IsArrayBuffer() || value.As<v8::ArrayBuffer>()->ByteLength() < bytes) {
    throw std::invalid_argument(std::string(name) + " must be an ArrayBuffer of at least " + std::to_string(bytes) +
                                " bytes");
  }
  return value.As<v8::ArrayBuffer>()->GetBackingStore();
}

v8::Local<v8::Value> ToUint8Array(const struct address& address) {
  const v8::Local<v8::ArrayBuffer> buffer = v8::ArrayBuffer::New(v8::Isolate::GetCurrent(), sizeof address.bytes);
  memcpy(buffer->Data(), address.bytes, sizeof address.bytes);
  return v8::Uint8Array::New(buffer, 0, sizeof address.bytes);
}

std::string Bytes(v8::Local<v8::Value> value) {
  if (!value->IsUint8Array()) throw std::invalid_argument("bytes must be a Uint8Array");
  const auto view = value.As<v8::Uint8Array>();
  std::string bytes(view->ByteLength(), '\0');
  view->CopyContents(bytes.data(), bytes.size());
  return bytes;
}

std::vector<std::string> BytesList(v8::Local<v8::Value> value) {
  if (!value->IsArray()) throw std::invalid_argument("a list of Uint8Array is wanted");
  const auto list = value.As<v8::Array>();
  std::vector<std::string> result;
  for (uint32_t i = 0; i < list->Length(); i++) result.push_back(Bytes(Nan::Get(list, i).ToLocalChecked()));
  return result;
}

std::vector<uint32_t> UnsignedList(v8::Local<v8::Value> value, const char* name) {
  if (!value->IsArray()) throw std::invalid_argument(std::string(name) + " must be a list");
  const auto list = value.As<v8::Array>();
  std::vector<uint32_t> result;
  for (uint32_t i = 0; i < list->Length(); i++) {
    result.push_back(UnsignedValue(Nan::Get(list, i).ToLocalChecked(), name));
  }
  return result;
}

}  // namespace weft::binding
