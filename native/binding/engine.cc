#include "../core/engine.h"

#include <nan.h>
#include <openssl/crypto.h>
#include <uv.h>

#include <memory>
#include <stdexcept>
#include <string>

#include "engine_values.h"
#include "http_values.h"
#include "modules.h"
#include "reports.h"
#include "values.h"

namespace weft::binding {
namespace {

using core::ConnectionRecord;
using core::http::RequestRecord;

// As many turns of the engine follow each other at most, however busy it is.
constexpr int kMostTurns = 1024;

// The engine of one isolate, deciding by JavaScript functions. It keeps itself, and the loop, alive until close().
//
// The engine waits, for its own descriptors and for libuv's (as libuv's guide has it for who embeds it in another loop:
// uv_backend_fd(), uv_backend_timeout()), in the phase before libuv would. libuv is left to do what it has to do, and
// then waits for nothing, as an idle handle keeps it from that. The other way about each turn of the engine would cost
// one of libuv, three more system calls, and two wake-ups in the kernel.
class EngineObject final : public Nan::ObjectWrap, private core::Decisions, private core::http::HttpDecisions {
 public:
  static v8::Local<v8::Object> New(v8::Local<v8::Object> options) {
    const v8::Local<v8::FunctionTemplate> type = Nan::New<v8::FunctionTemplate>();
    type->InstanceTemplate()->SetInternalFieldCount(1);
    const v8::Local<v8::Object> object = Nan::NewInstance(Nan::GetFunction(type).ToLocalChecked()).ToLocalChecked();
    auto* wrapper = new EngineObject(options);
    wrapper->Wrap(object);  // collected with the object from here on
    wrapper->Start(options);
    Nan::SetMethod(object, "statistics", Statistics);
    Nan::SetMethod(object, "intern", Intern);
    Nan::SetMethod(object, "nameOf", NameOf);
    Nan::SetMethod(object, "setCredentials", SetCredentials);
    Nan::SetMethod(object, "forgetCredentials", ForgetCredentials);
    Nan::SetMethod(object, "setTicketKeys", SetTicketKeys);
    Nan::SetMethod(object, "serverName", ServerName);
    Nan::SetMethod(object, "resume", Resume);
    Nan::SetMethod(object, "revoke", Revoke);
    Nan::SetMethod(object, "requestMethod", RequestMethod);
    Nan::SetMethod(object, "requestPath", RequestPath);
    Nan::SetMethod(object, "requestAuthority", RequestAuthority);
    Nan::SetMethod(object, "requestHeader", RequestHeader);
    Nan::SetMethod(object, "defineHeaderEdits", DefineHeaderEdits);
    Nan::SetMethod(object, "releaseHeaderEdits", ReleaseHeaderEdits);
    Nan::SetMethod(object, "defineResponse", DefineResponse);
    Nan::SetMethod(object, "releaseResponse", ReleaseResponse);
    Nan::SetMethod(object, "resumeRequest", ResumeRequest);
    Nan::SetMethod(object, "revokeRequests", RevokeRequests);
    Nan::SetMethod(object, "probe", StartProbe);
    Nan::SetMethod(object, "retireTunnels", RetireTunnels);
    Nan::SetMethod(object, "stopAccepting", StopAccepting);
    Nan::SetMethod(object, "close", Close);
    return object;
  }

  explicit EngineObject(v8::Local<v8::Object> options)
      : isolate_(v8::Isolate::GetCurrent()),
        on_listener_(Callback(options, "onListener")),
        on_listener_gone_(Callback(options, "onListenerGone")),
        on_connection_(Callback(options, "onConnection")),
        on_closes_(Callback(options, "onCloses")),
        on_requests_(Callback(options, "onRequests")),
        on_failure_(Callback(options, "onFailure")),
        on_responses_(Callback(options, "onResponses")),
        on_probe_(Callback(options, "onProbe")),
        on_drain_(Callback(options, "onDrain")),
        on_broker_lost_(Callback(options, "onBrokerLost")),
        record_(BufferProperty(options, "record", sizeof(ConnectionRecord))),
        request_record_(BufferProperty(options, "requestRecord", sizeof(RequestRecord))),
        requests_(BufferProperty(options, "requests", sizeof(RequestRecord))),
        closes_(BufferProperty(options, "closes", sizeof(ConnectionRecord))),
        responses_(BufferProperty(options, "responses", sizeof(RequestRecord))) {}

 private:
  using Function = v8::Global<v8::Function>;

  Function Callback(v8::Local<v8::Object> options, const char* name) {
    const v8::Local<v8::Value> value = Property(options, name);
    if (!value->IsFunction()) throw std::invalid_argument(std::string(name) + " must be a function");
    return Function(isolate_, value.As<v8::Function>());
  }

  void Start(v8::Local<v8::Object> options) {
    core::EngineOptions engine_options;
    engine_options.broker_path = StringProperty(options, "brokerPath");
    engine_options.slot = UnsignedProperty(options, "slot");
    engine_options.clients_map = DescriptorProperty(options, "clientsMap");
    engine_options.pipes = UnsignedProperty(options, "pipes");
    engine_options.pipe_bytes = UnsignedProperty(options, "pipeBytes");
    engine_options.record = static_cast<ConnectionRecord*>(record_->Data());
    engine_options.request_record = static_cast<RequestRecord*>(request_record_->Data());
    engine_options.request_records = {static_cast<RequestRecord*>(requests_->Data()),
                                      requests_->ByteLength() / sizeof(RequestRecord)};
    engine_options.http_decisions = this;
    core::Decisions& decisions = *this;
    engine_ = std::make_unique<core::Engine>(engine_options, decisions);

    uv_loop_t* const loop = Nan::GetCurrentEventLoop();
    engine_->WatchOther(uv_backend_fd(loop));
    prepare_ = new uv_prepare_t;
    idle_ = new uv_idle_t;
    uv_prepare_init(loop, prepare_);
    uv_idle_init(loop, idle_);
    prepare_->data = this;
    uv_prepare_start(prepare_, [](uv_prepare_t* prepare) { static_cast<EngineObject*>(prepare->data)->Run(); });
    uv_idle_start(idle_, DoNothing);
    context_.Reset(isolate_, isolate_->GetCurrentContext());
    async_ = node::EmitAsyncInit(isolate_, handle(), "weft.engine");
    node::AddEnvironmentCleanupHook(isolate_, CleanUp, this);
    Ref();
  }

  static void DoNothing(uv_idle_t*) {}

  // Until libuv has something to do.
  void Run() {
    uv_loop_t* const loop = prepare_->loop;
    uv_idle_stop(idle_);
    for (int turn = 0; turn < kMostTurns; turn++) {
      uv_update_time(loop);
      const int timeout_ms = uv_backend_timeout(loop);
      const bool works = engine_->Wait(timeout_ms);
      if (works) Turn();
      if (closed_) return;
      if (!works || timeout_ms == 0 || engine_->TakeOther()) break;
    }
    uv_idle_start(idle_, DoNothing);
  }

  // One scope around the batch: microtasks and process.nextTick() run when it ends.
  void Turn() {
    const v8::HandleScope handles(isolate_);
    const v8::Local<v8::Context> context = context_.Get(isolate_);
    const v8::Context::Scope entered(context);
    in_turn_ = true;
    {
      const node::CallbackScope scope(isolate_, handle(), async_);
      Nan::TryCatch surfaced;
      try {
        engine_->Turn();
        TellReports();
      } catch (const std::exception& error) {
        Nan::ThrowError(error.what());
        Nan::FatalException(surfaced);
      }
    }
    in_turn_ = false;
    if (closed_) Release();
  }

  // What a callback throws becomes an uncaughtException; the engine goes on. false: it threw.
  bool Call(const Function& function, int count = 0, v8::Local<v8::Value>* values = nullptr) {
    if (function.IsEmpty()) return false;
    Nan::TryCatch surfaced;
    const v8::Local<v8::Context> context = isolate_->GetCurrentContext();
    const bool returned = !function.Get(isolate_)->Call(context, v8::Undefined(isolate_), count, values).IsEmpty();
    if (!returned) Nan::FatalException(surfaced);
    return returned;
  }

  void OnListener(uint32_t pod, uint32_t port, const struct address& ipv4, const struct address& ipv6) override {
    const v8::HandleScope handles(isolate_);
    v8::Local<v8::Value> values[] = {Nan::New(pod), Nan::New(port), ToUint8Array(ipv4), ToUint8Array(ipv6)};
    Call(on_listener_, 4, values);
  }

  void OnListenerGone(uint32_t pod) override {
    const v8::HandleScope handles(isolate_);
    v8::Local<v8::Value> values[] = {Nan::New(pod)};
    Call(on_listener_gone_, 1, values);
  }

  void OnConnection(ConnectionRecord& record) override {
    const v8::HandleScope handles(isolate_);
    if (!Call(on_connection_)) record.decision.action = core::Action::kRefuse;
  }

  void OnClose(ConnectionRecord& record) override {
    closes_.Add(record);
    if (!in_turn_ || closes_.full()) TellReports();
  }

  void OnRequests(std::span<RequestRecord> records) override {
    Tell(on_requests_, static_cast<uint32_t>(records.size()));
  }

  void OnFailure(RequestRecord& record) override {
    const v8::HandleScope handles(isolate_);
    if (!Call(on_failure_)) record.decision.action = core::http::RequestAction::kReset;
  }

  void OnResponse(RequestRecord& record) override {
    responses_.Add(record);
    if (!in_turn_ || responses_.full()) TellReports();
  }

  // Of a turn at its end, or before. A connection ends after its requests, and is told of after them.
  void TellReports() {
    responses_.TellAll([this](uint32_t count) { Tell(on_responses_, count); });
    closes_.TellAll([this](uint32_t count) { Tell(on_closes_, count); });
  }

  void Tell(const Function& function, uint32_t count) {
    const v8::HandleScope handles(isolate_);
    v8::Local<v8::Value> values[] = {v8::Integer::NewFromUnsigned(isolate_, count)};
    Call(function, 1, values);
  }

  void OnProbe(uint32_t probe, core::ProbeResult result) override {
    const v8::HandleScope handles(isolate_);
    v8::Local<v8::Value> values[] = {Nan::New(probe), Nan::New(NameOfResult(result)).ToLocalChecked()};
    Call(on_probe_, 2, values);
  }

  void OnDrain(uint32_t grace_ms) override {
    const v8::HandleScope handles(isolate_);
    v8::Local<v8::Value> values[] = {Nan::New(grace_ms)};
    Call(on_drain_, 1, values);
  }

  void OnBrokerLost() override {
    const v8::HandleScope handles(isolate_);
    Call(on_broker_lost_);
  }

  static EngineObject& Self(const Nan::FunctionCallbackInfo<v8::Value>& info) {
    return *Nan::ObjectWrap::Unwrap<EngineObject>(info.This());
  }

  // statistics(): EngineStatistics
  static NAN_METHOD(Statistics) {
    Guarded([&] { info.GetReturnValue().Set(ToObject(Self(info).Open().statistics())); });
  }

  core::Engine& Open() {
    if (!engine_) throw std::runtime_error("the engine is closed");
    return *engine_;
  }

  // intern(name: string): number
  static NAN_METHOD(Intern) {
    Guarded([&] { info.GetReturnValue().Set(Self(info).Open().Intern(*Nan::Utf8String(info[0]))); });
  }

  // nameOf(number: number): string
  static NAN_METHOD(NameOf) {
    Guarded([&] {
      const std::string name(Self(info).Open().NameOf(Nan::To<uint32_t>(info[0]).FromMaybe(0)));
      info.GetReturnValue().Set(Nan::New(name).ToLocalChecked());
    });
  }

  // setCredentials(identity: number, credentials: Credentials): void
  static NAN_METHOD(SetCredentials) {
    Guarded([&] {
      core::tls::Identity identity = ReadIdentity(info[1]);
      const auto error = Self(info).Open().SetCredentials(Nan::To<uint32_t>(info[0]).FromMaybe(0), identity);
      OPENSSL_cleanse(identity.key.data(), identity.key.size());
      if (error != core::tls::ContextError::kNone) throw std::invalid_argument(Explain(error));
    });
  }

  // forgetCredentials(identity: number): void
  static NAN_METHOD(ForgetCredentials) {
    Guarded([&] { Self(info).Open().ForgetCredentials(Nan::To<uint32_t>(info[0]).FromMaybe(0)); });
  }

  // setTicketKeys(keys: Uint8Array[]): void
  static NAN_METHOD(SetTicketKeys) {
    Guarded([&] { Self(info).Open().SetTicketKeys(ReadTicketKeys(info[0])); });
  }

  // serverName(): string
  static NAN_METHOD(ServerName) {
    Guarded([&] {
      const std::string& name = Self(info).Open().server_name();
      info.GetReturnValue().Set(Nan::New(name).ToLocalChecked());
    });
  }

  // resume(connection: number): boolean
  static NAN_METHOD(Resume) {
    Guarded([&] {
      EngineObject& self = Self(info);
      const auto* record = static_cast<const ConnectionRecord*>(self.record_->Data());
      info.GetReturnValue().Set(self.Open().Resume(Nan::To<uint32_t>(info[0]).FromMaybe(0), record->decision));
    });
  }

  // revoke(connections: number[]): void
  static NAN_METHOD(Revoke) {
    Guarded([&] { Self(info).Open().Revoke(UnsignedList(info[0], "connections")); });
  }

  // Of the request that the first argument numbers.
  static core::http::Http& Shown(const Nan::FunctionCallbackInfo<v8::Value>& info) {
    core::http::Http& http = Self(info).Open().http();
    http.Show(Nan::To<uint32_t>(info[0]).FromMaybe(0));
    return http;
  }

  // requestMethod(request: number): string
  static NAN_METHOD(RequestMethod) {
    Guarded([&] { info.GetReturnValue().Set(ToString(Shown(info).RequestMethod())); });
  }

  // requestPath(request: number): string
  static NAN_METHOD(RequestPath) {
    Guarded([&] { info.GetReturnValue().Set(ToString(Shown(info).RequestPath())); });
  }

  // requestAuthority(request: number): string
  static NAN_METHOD(RequestAuthority) {
    Guarded([&] { info.GetReturnValue().Set(ToString(Shown(info).RequestAuthority())); });
  }

  // requestHeader(request: number, name: string): string | undefined
  static NAN_METHOD(RequestHeader) {
    Guarded([&] {
      std::string value;
      const Nan::Utf8String name(info[1]);
      const bool has = Shown(info).RequestHeader({*name, static_cast<size_t>(name.length())}, value);
      if (has) info.GetReturnValue().Set(ToString(value));
    });
  }

  // defineHeaderEdits(edits: HeaderEdits): number
  static NAN_METHOD(DefineHeaderEdits) {
    Guarded([&] {
      const uint32_t number = Self(info).Open().http().DefineHeaderEdits(ReadHeaderEdits(info[0]));
      if (number == 0) throw std::invalid_argument("edits must be of fields that are not about the connection");
      info.GetReturnValue().Set(number);
    });
  }

  // releaseHeaderEdits(edits: number): void
  static NAN_METHOD(ReleaseHeaderEdits) {
    Guarded([&] { Self(info).Open().http().ReleaseHeaderEdits(UnsignedValue(info[0], "edits")); });
  }

  // defineResponse(response: SyntheticResponse): number
  static NAN_METHOD(DefineResponse) {
    Guarded([&] {
      const uint32_t number = Self(info).Open().http().DefineResponse(ReadResponse(info[0]));
      if (number == 0) throw std::invalid_argument("HTTP has no such response");
      info.GetReturnValue().Set(number);
    });
  }

  // releaseResponse(response: number): void
  static NAN_METHOD(ReleaseResponse) {
    Guarded([&] { Self(info).Open().http().ReleaseResponse(UnsignedValue(info[0], "response")); });
  }

  // resumeRequest(exchange: number): boolean
  static NAN_METHOD(ResumeRequest) {
    Guarded([&] {
      EngineObject& self = Self(info);
      const auto* record = static_cast<const RequestRecord*>(self.request_record_->Data());
      const core::http::RequestDecision decision = record->decision;
      info.GetReturnValue().Set(self.Open().http().ResumeRequest(UnsignedValue(info[0], "exchange"), decision));
    });
  }

  // revokeRequests(upstreamContext: number): void
  static NAN_METHOD(RevokeRequests) {
    Guarded([&] { Self(info).Open().http().RevokeRequests(UnsignedValue(info[0], "upstreamContext")); });
  }

  // probe(probe: number, request: ProbeRequest): void
  static NAN_METHOD(StartProbe) {
    Guarded([&] { Self(info).Open().StartProbe(UnsignedValue(info[0], "probe"), ReadProbeRequest(info[1])); });
  }

  // retireTunnels(pod: number): void
  static NAN_METHOD(RetireTunnels) {
    Guarded([&] { Self(info).Open().RetireTunnels(Nan::To<uint32_t>(info[0]).FromMaybe(0)); });
  }

  // stopAccepting(): void
  static NAN_METHOD(StopAccepting) {
    if (const auto& engine = Self(info).engine_) engine->StopAccepting();
  }

  // close(): void
  static NAN_METHOD(Close) { Self(info).CloseEngine(); }

  void CloseEngine() {
    if (closed_ || !engine_) return;
    closed_ = true;
    engine_->Close();
    TellReports();
    if (!in_turn_) Release();
  }

  // libuv frees a handle's memory by a callback (uv_close()).
  void Release() {
    node::RemoveEnvironmentCleanupHook(isolate_, CleanUp, this);
    uv_close(reinterpret_cast<uv_handle_t*>(prepare_),
             [](uv_handle_t* handle) { delete reinterpret_cast<uv_prepare_t*>(handle); });
    uv_close(reinterpret_cast<uv_handle_t*>(idle_),
             [](uv_handle_t* handle) { delete reinterpret_cast<uv_idle_t*>(handle); });
    engine_.reset();
    node::EmitAsyncDestroy(isolate_, async_);
    Unref();
  }

  // The environment ends without close(): JavaScript cannot be called any more.
  static void CleanUp(void* data) {
    auto* self = static_cast<EngineObject*>(data);
    for (Function* function :
         {&self->on_listener_, &self->on_listener_gone_, &self->on_connection_, &self->on_closes_, &self->on_requests_,
          &self->on_failure_, &self->on_responses_, &self->on_probe_, &self->on_drain_, &self->on_broker_lost_}) {
      function->Reset();
    }
    const v8::HandleScope handles(self->isolate_);
    self->CloseEngine();
  }

  v8::Isolate* const isolate_;
  v8::Global<v8::Context> context_;
  Function on_listener_, on_listener_gone_, on_connection_, on_closes_;
  Function on_requests_, on_failure_, on_responses_;
  Function on_probe_, on_drain_, on_broker_lost_;
  std::shared_ptr<v8::BackingStore> record_;
  std::shared_ptr<v8::BackingStore> request_record_;
  std::shared_ptr<v8::BackingStore> requests_;
  Reports<ConnectionRecord> closes_;
  Reports<RequestRecord> responses_;
  node::async_context async_{};
  uv_prepare_t* prepare_ = nullptr;
  uv_idle_t* idle_ = nullptr;
  std::unique_ptr<core::Engine> engine_;
  bool in_turn_ = false;
  bool closed_ = false;
};

// createEngine(options: EngineOptions): Engine
NAN_METHOD(CreateEngine) {
  Guarded([&] { info.GetReturnValue().Set(EngineObject::New(ObjectValue(info[0], "options"))); });
}

}  // namespace

NAN_MODULE_INIT(InitEngine) { Nan::SetMethod(target, "createEngine", CreateEngine); }

}  // namespace weft::binding
