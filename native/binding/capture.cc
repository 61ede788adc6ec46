#include "../capture/capture.h"

#include <nan.h>

#include "modules.h"
#include "values.h"

namespace weft::binding {
namespace {

using capture::Address;

std::optional<Address> AddressValue(v8::Local<v8::Value> value, const char* name) {
  if (value->IsUndefined()) return std::nullopt;
  Address address;
  if (!value->IsUint8Array() || value.As<v8::Uint8Array>()->Length() != address.size()) {
    throw std::invalid_argument(std::string(name) + " must be a Uint8Array of 16 bytes");
  }
  value.As<v8::Uint8Array>()->CopyContents(address.data(), address.size());
  return address;
}

v8::Local<v8::Value> ToUint8Array(const void* bytes, size_t size) {
  const v8::Local<v8::ArrayBuffer> buffer = v8::ArrayBuffer::New(v8::Isolate::GetCurrent(), size);
  memcpy(buffer->Data(), bytes, size);
  return v8::Uint8Array::New(buffer, 0, size);
}

template <typename Element>
void ForEach(v8::Local<v8::Object> object, const char* name, Element element) {
  const v8::Local<v8::Value> value = Property(object, name);
  if (!value->IsArray()) throw std::invalid_argument(std::string(name) + " must be an array");
  const v8::Local<v8::Array> array = value.As<v8::Array>();
  for (uint32_t i = 0; i < array->Length(); i++) {
    const v8::Local<v8::Object> pair = ObjectValue(Nan::Get(array, i).ToLocalChecked(), name);
    element(Nan::Get(pair, 0).ToLocalChecked(), Nan::Get(pair, 1).ToLocalChecked());
  }
}

std::vector<std::pair<uint16_t, uint16_t>> PortRanges(v8::Local<v8::Object> object, const char* name) {
  std::vector<std::pair<uint16_t, uint16_t>> ranges;
  ForEach(object, name, [&](v8::Local<v8::Value> first, v8::Local<v8::Value> last) {
    const uint32_t from = UnsignedValue(first, name), to = UnsignedValue(last, name);
    if (from > to || to > 65535) throw std::invalid_argument(std::string(name) + " has a range that is none");
    ranges.emplace_back(static_cast<uint16_t>(from), static_cast<uint16_t>(to));
  });
  return ranges;
}

capture::PodCapture ReadPod(v8::Local<v8::Object> object) {
  capture::PodCapture pod;
  pod.id = UnsignedProperty(object, "id");
  pod.workers = UnsignedProperty(object, "workers");
  if (pod.workers == 0 || pod.workers > WEFT_MAX_WORKERS) throw std::invalid_argument("workers must be from 1 to 64");
  pod.ipv4 = AddressValue(Property(object, "ipv4"), "ipv4");
  pod.ipv6 = AddressValue(Property(object, "ipv6"), "ipv6");
  pod.skip_inbound_ports = PortRanges(object, "skipInboundPorts");
  pod.skip_outbound_ports = PortRanges(object, "skipOutboundPorts");
  ForEach(object, "skipSubnets", [&](v8::Local<v8::Value> network, v8::Local<v8::Value> length) {
    const uint32_t bits = UnsignedValue(length, "skipSubnets");
    const std::optional<Address> address = AddressValue(network, "skipSubnets");
    if (!address || bits > 128) throw std::invalid_argument("skipSubnets has an entry that is no subnet");
    pod.skip_subnets.emplace_back(*address, static_cast<uint8_t>(bits));
  });
  return pod;
}

v8::Local<v8::Value> OptionalAddress(const struct address& address) {
  static constexpr uint8_t kNone[16] = {};
  if (memcmp(address.bytes, kNone, sizeof kNone) == 0) return Nan::Undefined();
  return ToUint8Array(address.bytes, sizeof address.bytes);
}

class CaptureObject : public Nan::ObjectWrap {
 public:
  static v8::Local<v8::Object> New(const capture::CaptureOptions& options) {
    auto native = std::make_unique<capture::Capture>(options);
    const v8::Local<v8::FunctionTemplate> type = Nan::New<v8::FunctionTemplate>();
    type->InstanceTemplate()->SetInternalFieldCount(1);
    const v8::Local<v8::Object> object = Nan::NewInstance(Nan::GetFunction(type).ToLocalChecked()).ToLocalChecked();
    auto* wrapper = new CaptureObject(std::move(native));
    wrapper->Wrap(object);
    Set(object, "listenersMap", Nan::New(wrapper->native_->MapDescriptor("listeners")));
    Set(object, "clientsMap", Nan::New(wrapper->native_->MapDescriptor("clients")));
    Nan::SetMethod(object, "attach", Attach);
    Nan::SetMethod(object, "followKubelet", FollowKubelet);
    Nan::SetMethod(object, "adopted", Adopted);
    Nan::SetMethod(object, "enrol", Enrol);
    Nan::SetMethod(object, "mend", Mend);
    Nan::SetMethod(object, "release", Release);
    Nan::SetMethod(object, "cleanNamespace", CleanNamespace);
    Nan::SetMethod(object, "forget", Forget);
    Nan::SetMethod(object, "counters", Counters);
    Nan::SetMethod(object, "foreignPrograms", ForeignPrograms);
    Nan::SetMethod(object, "close", Close);
    return object;
  }

 private:
  explicit CaptureObject(std::unique_ptr<capture::Capture> native) : native_(std::move(native)) {}

  static capture::Capture& Native(const Nan::FunctionCallbackInfo<v8::Value>& info) {
    const auto& native = Nan::ObjectWrap::Unwrap<CaptureObject>(info.This())->native_;
    if (!native) throw std::runtime_error("the capture is closed");
    return *native;
  }

  // attach(): void
  static NAN_METHOD(Attach) {
    Guarded([&] { Native(info).Attach(); });
  }

  // followKubelet(): boolean
  static NAN_METHOD(FollowKubelet) {
    Guarded([&] { info.GetReturnValue().Set(Native(info).FollowKubelet()); });
  }

  // adopted(): AdoptedPod[]
  static NAN_METHOD(Adopted) {
    Guarded([&] {
      const v8::Local<v8::Array> result = Nan::New<v8::Array>();
      for (const capture::AdoptedPod& adopted : Native(info).Adopted()) {
        const v8::Local<v8::Object> pod = Nan::New<v8::Object>();
        Set(pod, "id", Nan::New(adopted.pod.id));
        Set(pod, "cookie", v8::BigInt::NewFromUnsigned(info.GetIsolate(), adopted.cookie));
        Set(pod, "workers", Nan::New(adopted.pod.workers));
        Set(pod, "ipv4", OptionalAddress(adopted.pod.ipv4));
        Set(pod, "ipv6", OptionalAddress(adopted.pod.ipv6));
        Nan::Set(result, result->Length(), pod).Check();
      }
      info.GetReturnValue().Set(result);
    });
  }

  // enrol(netns: number, pod: PodCapture): void
  static NAN_METHOD(Enrol) {
    Guarded([&] {
      Native(info).Enrol(static_cast<int>(UnsignedValue(info[0], "netns")), ReadPod(ObjectValue(info[1], "pod")));
    });
  }

  // mend(netns: number, pod: PodCapture): boolean
  static NAN_METHOD(Mend) {
    Guarded([&] {
      const int netns = static_cast<int>(UnsignedValue(info[0], "netns"));
      info.GetReturnValue().Set(Native(info).Mend(netns, ReadPod(ObjectValue(info[1], "pod"))));
    });
  }

  // release(netns: number, id: number): void
  static NAN_METHOD(Release) {
    Guarded(
        [&] { Native(info).Release(static_cast<int>(UnsignedValue(info[0], "netns")), UnsignedValue(info[1], "id")); });
  }

  // cleanNamespace(netns: number): void
  static NAN_METHOD(CleanNamespace) {
    Guarded([&] { Native(info).CleanNamespace(static_cast<int>(UnsignedValue(info[0], "netns"))); });
  }

  // forget(cookie: bigint): void
  static NAN_METHOD(Forget) {
    Guarded([&] {
      if (!info[0]->IsBigInt()) throw std::invalid_argument("cookie must be a bigint");
      Native(info).Forget(info[0].As<v8::BigInt>()->Uint64Value());
    });
  }

  // counters(): Counters
  static NAN_METHOD(Counters) {
    Guarded([&] {
      static constexpr const char* kNames[WEFT_COUNTERS] = {"capturedOutbound", "capturedInbound", "skipped",
                                                            "droppedEgress",    "droppedNoAgent",  "probesPassed"};
      const std::vector<uint64_t> counters = Native(info).Counters();
      const v8::Local<v8::Object> result = Nan::New<v8::Object>();
      for (size_t i = 0; i < counters.size(); i++) Set(result, kNames[i], Nan::New(static_cast<double>(counters[i])));
      info.GetReturnValue().Set(result);
    });
  }

  // foreignPrograms(): ForeignProgram[]
  static NAN_METHOD(ForeignPrograms) {
    Guarded([&] {
      const v8::Local<v8::Array> result = Nan::New<v8::Array>();
      for (const capture::ForeignProgram& program : Native(info).ForeignPrograms()) {
        const v8::Local<v8::Object> object = Nan::New<v8::Object>();
        Set(object, "id", Nan::New(program.id));
        Set(object, "name", Nan::New(program.name).ToLocalChecked());
        Set(object, "attachType", Nan::New(program.attach_type).ToLocalChecked());
        Set(object, "cgroup", Nan::New(program.cgroup).ToLocalChecked());
        Nan::Set(result, result->Length(), object).Check();
      }
      info.GetReturnValue().Set(result);
    });
  }

  // close(): void
  static NAN_METHOD(Close) { Nan::ObjectWrap::Unwrap<CaptureObject>(info.This())->native_.reset(); }

  std::unique_ptr<capture::Capture> native_;
};

// openCapture(options: CaptureOptions): Capture
NAN_METHOD(OpenCapture) {
  Guarded([&] {
    const v8::Local<v8::Object> options = ObjectValue(info[0], "options");
    info.GetReturnValue().Set(CaptureObject::New(
        {StringProperty(options, "objects"), StringProperty(options, "pinDir"), StringProperty(options, "cgroup"),
         StringProperty(options, "agentCgroup"), OptionalStringProperty(options, "kubeletCgroup")}));
  });
}

// uninstallCapture(pinDir: string): void
NAN_METHOD(UninstallCapture) {
  Guarded([&] { capture::Uninstall(*Nan::Utf8String(info[0])); });
}

// openNetns(path: string): number
NAN_METHOD(OpenNetns) {
  Guarded([&] { info.GetReturnValue().Set(capture::OpenNetns(*Nan::Utf8String(info[0]))); });
}

// netnsCookie(netns: number): bigint
NAN_METHOD(NetnsCookie) {
  Guarded([&] {
    const uint64_t cookie = capture::NetnsCookie(static_cast<int>(UnsignedValue(info[0], "netns")));
    info.GetReturnValue().Set(v8::BigInt::NewFromUnsigned(info.GetIsolate(), cookie));
  });
}

// netnsAddresses(netns: number): Uint8Array[]
NAN_METHOD(NetnsAddresses) {
  Guarded([&] {
    const v8::Local<v8::Array> result = Nan::New<v8::Array>();
    for (const auto& [interface, address] :
         capture::GlobalAddresses(static_cast<int>(UnsignedValue(info[0], "netns")))) {
      Nan::Set(result, result->Length(), ToUint8Array(address.data(), address.size())).Check();
    }
    info.GetReturnValue().Set(result);
  });
}

// closeDescriptor(descriptor: number): void
NAN_METHOD(CloseDescriptor) {
  Guarded([&] { close(static_cast<int>(UnsignedValue(info[0], "descriptor"))); });
}

}  // namespace

NAN_MODULE_INIT(InitCapture) {
  Nan::SetMethod(target, "openCapture", OpenCapture);
  Nan::SetMethod(target, "uninstallCapture", UninstallCapture);
  Nan::SetMethod(target, "openNetns", OpenNetns);
  Nan::SetMethod(target, "netnsCookie", NetnsCookie);
  Nan::SetMethod(target, "netnsAddresses", NetnsAddresses);
  Nan::SetMethod(target, "closeDescriptor", CloseDescriptor);
}

}  // namespace weft::binding
