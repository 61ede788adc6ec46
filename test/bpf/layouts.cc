// Prints, as JSON, what the compiler makes of the structures that somebody else reads or writes, too: the kernel's
// programs, TypeScript. Tests find a member that is missing here by the hole it leaves.

#include <cstddef>
#include <cstdio>
#include <initializer_list>
#include <string>
#include <type_traits>

#include "../../bpf/weft.h"
#include "../../native/broker/protocol.h"
#include "../../native/core/connection_record.h"
#include "../../native/core/http/request_record.h"
#include "../../native/core/http1/error.h"

namespace {

class Object {
 public:
  Object& Add(const char* name, const std::string& value) {
    text_ += (text_.empty() ? "\"" : ",\"") + std::string(name) + "\":" + value;
    return *this;
  }
  template <typename Number>
  requires std::is_arithmetic_v<Number> || std::is_enum_v<Number> Object& Add(const char* name, Number value) {
    return Add(name, std::to_string(static_cast<size_t>(value)));
  }
  std::string Text() const { return "{" + text_ + "}"; }

 private:
  std::string text_;
};

struct Member {
  const char* name;
  size_t offset, size;
};

#define M(type, member) \
  Member { #member, offsetof(type, member), sizeof(type::member) }

std::string Structure(size_t size, std::initializer_list<Member> members) {
  Object places;
  for (const Member& member : members)
    places.Add(member.name, Object().Add("offset", member.offset).Add("size", member.size).Text());
  return Object().Add("size", size).Add("members", places.Text()).Text();
}

std::string KernelStructures() {
  using Port = skip_port_key;
  using Subnet = skip_subnet_key;
  using Probe = probe_key;
  return Object()
      .Add("address", Structure(sizeof(address), {M(address, bytes)}))
      .Add("pod", Structure(sizeof(pod), {M(pod, id), M(pod, workers), M(pod, ipv4), M(pod, ipv6)}))
      .Add("pod_address", Structure(sizeof(pod_address), {M(pod_address, id), M(pod_address, workers)}))
      .Add("listener_key", Structure(sizeof(listener_key), {M(listener_key, pod), M(listener_key, worker)}))
      .Add("client_key", Structure(sizeof(client_key), {M(client_key, source), M(client_key, app),
                                                        M(client_key, source_port), M(client_key, app_port)}))
      .Add("client", Structure(sizeof(client), {M(client, address), M(client, port), M(client, reserved)}))
      .Add("skip_port_key",
           Structure(sizeof(Port), {M(Port, prefix_length), M(Port, pod), M(Port, direction), M(Port, port)}))
      .Add("skip_subnet_key", Structure(sizeof(Subnet), {M(Subnet, prefix_length), M(Subnet, pod), M(Subnet, address)}))
      .Add("probe_key", Structure(sizeof(Probe), {M(Probe, source), M(Probe, destination), M(Probe, source_port),
                                                  M(Probe, destination_port)}))
      .Text();
}

std::string BrokerMessages() {
  using namespace weft::broker;
  return Object()
      .Add("Hello", Structure(sizeof(Hello), {M(Hello, type), M(Hello, role), M(Hello, slot)}))
      .Add("SetListenerMap", Structure(sizeof(SetListenerMap), {M(SetListenerMap, type)}))
      .Add("AddPod", Structure(sizeof(AddPod),
                               {M(AddPod, type), M(AddPod, pod), M(AddPod, workers), M(AddPod, ipv6), M(AddPod, ipv4),
                                M(AddPod, ipv6_address), M(AddPod, avoided_count), M(AddPod, avoided)}))
      .Add("PodAdded",
           Structure(sizeof(PodAdded), {M(PodAdded, type), M(PodAdded, pod), M(PodAdded, error), M(PodAdded, port)}))
      .Add("RemovePod", Structure(sizeof(RemovePod), {M(RemovePod, type), M(RemovePod, pod)}))
      .Add("Prove", Structure(sizeof(Prove), {M(Prove, type), M(Prove, pod), M(Prove, deadline_ms), M(Prove, port),
                                              M(Prove, destination)}))
      .Add("Proved",
           Structure(sizeof(Proved), {M(Proved, type), M(Proved, pod), M(Proved, error), M(Proved, source_port)}))
      .Add("Drain", Structure(sizeof(Drain), {M(Drain, type), M(Drain, grace_ms)}))
      .Text();
}

std::string BrokerConstants() {
  using namespace weft::broker;
  return Object()
      .Add("kHello", Type::kHello)
      .Add("kSetListenerMap", Type::kSetListenerMap)
      .Add("kAddPod", Type::kAddPod)
      .Add("kRemovePod", Type::kRemovePod)
      .Add("kProve", Type::kProve)
      .Add("kDrain", Type::kDrain)
      .Add("kPodAdded", Type::kPodAdded)
      .Add("kProved", Type::kProved)
      .Add("kMain", Role::kMain)
      .Add("kMaxAvoidedPorts", kMaxAvoidedPorts)
      .Add("kFirstListenerPort", kFirstListenerPort)
      .Text();
}

std::string RecordStructures() {
  using namespace weft::core;
  using I = Identity;
  using D = Decision;
  using O = Outcome;
  using R = ConnectionRecord;
  return Object()
      .Add("identity",
           Structure(sizeof(I), {M(I, id), M(I, pod), M(I, family), M(I, local_port), M(I, remote_port), M(I, origin),
                                 M(I, detected), M(I, server_name), M(I, local_address), M(I, remote_address),
                                 M(I, peer_address), M(I, peer_name), M(I, tunnel), M(I, astray), M(I, claimed)}))
      .Add("decision", Structure(sizeof(D), {M(D, action), M(D, connect_timeout_ms), M(D, idle_timeout_ms),
                                             M(D, destination_port), M(D, destination_address), M(D, app_pod),
                                             M(D, credentials), M(D, expected_name), M(D, workload),
                                             M(D, detect_timeout_ms), M(D, alert), M(D, http_context), M(D, reserved)}))
      .Add("outcome", Structure(sizeof(O), {M(O, reason), M(O, error), M(O, bytes_to_upstream), M(O, bytes_to_client),
                                            M(O, duration_ms)}))
      .Add("record", Structure(sizeof(R), {M(R, identity), M(R, decision), M(R, outcome)}))
      .Text();
}

std::string RecordConstants() {
  using weft::core::Action;
  using weft::core::CloseReason;
  using weft::core::Detected;
  const std::string actions = Object()
                                  .Add("refuse", Action::kRefuse)
                                  .Add("relayToApp", Action::kRelayToApp)
                                  .Add("relayOut", Action::kRelayOut)
                                  .Add("detect", Action::kDetect)
                                  .Add("hold", Action::kHold)
                                  .Add("acceptTls", Action::kAcceptTls)
                                  .Add("tunnel", Action::kTunnel)
                                  .Add("http", Action::kHttp)
                                  .Text();
  const std::string detections = Object()
                                     .Add("nothing", Detected::kNothing)
                                     .Add("plaintext", Detected::kPlaintext)
                                     .Add("timeout", Detected::kTimeout)
                                     .Add("tls", Detected::kTls)
                                     .Add("invalidTls", Detected::kTlsRefused)
                                     .Add("http1", Detected::kHttp1)
                                     .Add("http2", Detected::kHttp2)
                                     .Text();
  const std::string reasons = Object()
                                  .Add("finished", CloseReason::kFinished)
                                  .Add("reset-by-client", CloseReason::kResetByClient)
                                  .Add("reset-by-upstream", CloseReason::kResetByUpstream)
                                  .Add("connect-failed", CloseReason::kConnectFailed)
                                  .Add("connect-timeout", CloseReason::kConnectTimeout)
                                  .Add("idle-timeout", CloseReason::kIdleTimeout)
                                  .Add("refused", CloseReason::kRefused)
                                  .Add("shutdown", CloseReason::kShutdown)
                                  .Add("error", CloseReason::kError)
                                  .Add("tls-failed", CloseReason::kTlsFailed)
                                  .Add("tunnel", CloseReason::kTunnel)
                                  .Add("revoked", CloseReason::kRevoked)
                                  .Text();
  return Object().Add("actions", actions).Add("detections", detections).Add("closeReasons", reasons).Text();
}

std::string RequestStructures() {
  using namespace weft::core::http;
  using I = RequestIdentity;
  using D = RequestDecision;
  using O = RequestOutcome;
  using R = RequestRecord;
  return Object()
      .Add("identity", Structure(sizeof(I), {M(I, exchange), M(I, connection), M(I, pod), M(I, http_context),
                                             M(I, version), M(I, method), M(I, flags), M(I, authority), M(I, peer_name),
                                             M(I, upstream_context), M(I, attempt), M(I, reserved)}))
      .Add("decision", Structure(sizeof(D), {M(D, action), M(D, via), M(D, destination_port), M(D, app_pod),
                                             M(D, destination_address), M(D, credentials), M(D, expected_name),
                                             M(D, workload), M(D, upstream_protocol), M(D, connect_timeout_ms),
                                             M(D, response_timeout_ms), M(D, request_timeout_ms), M(D, idle_timeout_ms),
                                             M(D, request_edits), M(D, response_edits), M(D, response), M(D, retries),
                                             M(D, upstream_context), M(D, reserved)}))
      .Add("outcome", Structure(sizeof(O), {M(O, ending), M(O, detail), M(O, status), M(O, grpc_status), M(O, flags),
                                            M(O, reserved), M(O, request_bytes), M(O, response_bytes),
                                            M(O, time_to_head_ms), M(O, duration_ms)}))
      .Add("record", Structure(sizeof(R), {M(R, identity), M(R, decision), M(R, outcome)}))
      .Text();
}

std::string RequestConstants() {
  using namespace weft::core::http;
  const std::string actions = Object()
                                  .Add("reset", RequestAction::kReset)
                                  .Add("forward", RequestAction::kForward)
                                  .Add("respond", RequestAction::kRespond)
                                  .Add("hold", RequestAction::kHold)
                                  .Text();
  const std::string methods = Object()
                                  .Add("", Method::kOther)
                                  .Add("GET", Method::kGet)
                                  .Add("HEAD", Method::kHead)
                                  .Add("POST", Method::kPost)
                                  .Add("PUT", Method::kPut)
                                  .Add("DELETE", Method::kDelete)
                                  .Add("CONNECT", Method::kConnect)
                                  .Add("OPTIONS", Method::kOptions)
                                  .Add("TRACE", Method::kTrace)
                                  .Add("PATCH", Method::kPatch)
                                  .Text();
  const std::string flags = Object()
                                .Add("upgrade", kUpgrade)
                                .Add("expectsContinue", kExpectsContinue)
                                .Add("hasBody", kHasBody)
                                .Add("grpc", kGrpc)
                                .Add("webSocket", kWebSocket)
                                .Text();
  const std::string outcome_flags =
      Object().Add("synthetic", kSyntheticResponse).Add("hasTrailers", kHasTrailers).Add("upgraded", kUpgraded).Text();
  const std::string endings = Object()
                                  .Add("complete", Ending::kComplete)
                                  .Add("synthetic", Ending::kSynthetic)
                                  .Add("reset", Ending::kReset)
                                  .Add("client-reset", Ending::kClientReset)
                                  .Add("upstream-reset", Ending::kUpstreamReset)
                                  .Add("connect-failed", Ending::kConnectFailed)
                                  .Add("connect-timeout", Ending::kConnectTimeout)
                                  .Add("tls-failed", Ending::kTlsFailed)
                                  .Add("hold-timeout", Ending::kHoldTimeout)
                                  .Add("response-timeout", Ending::kResponseTimeout)
                                  .Add("request-timeout", Ending::kRequestTimeout)
                                  .Add("idle-timeout", Ending::kIdleTimeout)
                                  .Add("invalid-request", Ending::kInvalidRequest)
                                  .Add("invalid-response", Ending::kInvalidResponse)
                                  .Add("refused-by-limit", Ending::kRefusedByLimit)
                                  .Add("revoked", Ending::kRevoked)
                                  .Add("shutdown", Ending::kShutdown)
                                  .Add("error", Ending::kError)
                                  .Text();
  return Object()
      .Add("actions", actions)
      .Add("methods", methods)
      .Add("flags", flags)
      .Add("outcomeFlags", outcome_flags)
      .Add("endings", endings)
      .Add("noGrpcStatus", kNoGrpcStatus)
      .Text();
}

// What a message is refused for: each reason's number, name and the status that answers a request.
std::string MessageErrors() {
  using namespace weft::core::http1;
  Object errors;
  for (unsigned error = 0; error <= static_cast<unsigned>(Error::kLast); error++)
    errors.Add(std::string(Name(static_cast<Error>(error))).c_str(),
               Object().Add("number", error).Add("status", Status(static_cast<Error>(error))).Text());
  return errors.Text();
}

}  // namespace

int main() {
  const std::string all = Object()
                              .Add("kernel", KernelStructures())
                              .Add("broker", BrokerMessages())
                              .Add("brokerConstants", BrokerConstants())
                              .Add("record", RecordStructures())
                              .Add("recordConstants", RecordConstants())
                              .Add("request", RequestStructures())
                              .Add("requestConstants", RequestConstants())
                              .Add("messageErrors", MessageErrors())
                              .Text();
  puts(all.c_str());
  return 0;
}
