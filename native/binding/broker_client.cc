// Main's end of the broker's socket.

#include <fcntl.h>
#include <nan.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <uv.h>

#include <cerrno>
#include <cstring>
#include <memory>

#include "modules.h"
#include "values.h"

namespace weft::binding {
namespace {

constexpr size_t kMaximumMessage = 1024;

[[noreturn]] void ThrowErrno(const std::string& what) { throw std::system_error(errno, std::generic_category(), what); }

int Connect(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) throw std::invalid_argument("the broker's path is too long: " + path);
  memcpy(address.sun_path, path.data(), path.size());
  const int socket_descriptor = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (socket_descriptor < 0) ThrowErrno("cannot make a socket");
  if (connect(socket_descriptor, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
    const int error = errno;
    close(socket_descriptor);
    throw std::system_error(error, std::generic_category(), "cannot connect to " + path);
  }
  return socket_descriptor;
}

class BrokerClient : public Nan::ObjectWrap {
 public:
  static v8::Local<v8::Object> New(int socket_descriptor, v8::Local<v8::Function> on_message,
                                   v8::Local<v8::Function> on_close) {
    const v8::Local<v8::FunctionTemplate> type = Nan::New<v8::FunctionTemplate>();
    type->InstanceTemplate()->SetInternalFieldCount(1);
    const v8::Local<v8::Object> object = Nan::NewInstance(Nan::GetFunction(type).ToLocalChecked()).ToLocalChecked();
    auto* client = new BrokerClient(socket_descriptor, on_message, on_close);
    client->Wrap(object);
    client->Ref();  // until it is closed
    Nan::SetMethod(object, "send", Send);
    Nan::SetMethod(object, "close", Close);
    uv_poll_init(Nan::GetCurrentEventLoop(), client->poll_, socket_descriptor);
    client->poll_->data = client;
    uv_poll_start(client->poll_, UV_READABLE,
                  [](uv_poll_t* poll, int, int) { static_cast<BrokerClient*>(poll->data)->Read(); });
    return object;
  }

 private:
  BrokerClient(int socket_descriptor, v8::Local<v8::Function> on_message, v8::Local<v8::Function> on_close)
      : socket_(socket_descriptor), on_message_(on_message), on_close_(on_close), resource_("weft:broker") {}

  void Read() {
    const Nan::HandleScope scope;
    while (socket_ >= 0) {
      char buffer[kMaximumMessage];
      const ssize_t size = recv(socket_, buffer, sizeof buffer, MSG_DONTWAIT);
      if (size < 0 && (errno == EAGAIN || errno == EINTR)) return;
      if (size <= 0) {
        CloseSocket();
        on_close_.Call(0, nullptr, &resource_);
        return;
      }
      v8::Local<v8::Value> message = Nan::CopyBuffer(buffer, static_cast<uint32_t>(size)).ToLocalChecked();
      on_message_.Call(1, &message, &resource_);
    }
  }

  void CloseSocket() {
    if (socket_ < 0) return;
    uv_poll_stop(poll_);
    close(std::exchange(socket_, -1));
    uv_close(reinterpret_cast<uv_handle_t*>(poll_), [](uv_handle_t* handle) {
      static_cast<BrokerClient*>(handle->data)->Unref();
      delete reinterpret_cast<uv_poll_t*>(handle);
    });
  }

  // send(message: Buffer, descriptor: number): void
  static NAN_METHOD(Send) {
    Guarded([&] {
      const BrokerClient* client = Nan::ObjectWrap::Unwrap<BrokerClient>(info.This());
      if (client->socket_ < 0)
        throw std::system_error(ENOTCONN, std::generic_category(), "the broker's connection is closed");
      if (!node::Buffer::HasInstance(info[0])) throw std::invalid_argument("message must be a Buffer");
      iovec part{node::Buffer::Data(info[0]), node::Buffer::Length(info[0])};
      const int descriptor = Nan::To<int32_t>(info[1]).FromMaybe(-1);
      alignas(cmsghdr) char control[CMSG_SPACE(sizeof descriptor)] = {};
      msghdr header{};
      header.msg_iov = &part;
      header.msg_iovlen = 1;
      if (descriptor >= 0) {
        header.msg_control = control;
        header.msg_controllen = sizeof control;
        cmsghdr* rights = CMSG_FIRSTHDR(&header);
        rights->cmsg_level = SOL_SOCKET;
        rights->cmsg_type = SCM_RIGHTS;
        rights->cmsg_len = CMSG_LEN(sizeof descriptor);
        memcpy(CMSG_DATA(rights), &descriptor, sizeof descriptor);
      }
      // Blocking: the broker never waits for anybody, so its queue drains at once, and what it is told must not be
      // lost.
      const int flags = fcntl(client->socket_, F_GETFL);
      fcntl(client->socket_, F_SETFL, flags & ~O_NONBLOCK);
      const ssize_t sent = sendmsg(client->socket_, &header, MSG_NOSIGNAL);
      const int error = errno;
      fcntl(client->socket_, F_SETFL, flags);
      if (sent < 0) throw std::system_error(error, std::generic_category(), "cannot send to the broker");
    });
  }

  // close(): void
  static NAN_METHOD(Close) { Nan::ObjectWrap::Unwrap<BrokerClient>(info.This())->CloseSocket(); }

  int socket_;
  uv_poll_t* poll_ = new uv_poll_t;
  Nan::Callback on_message_, on_close_;
  Nan::AsyncResource resource_;
};

// connectBroker(path: string, onMessage: (message: Buffer) => void, onClose: () => void): BrokerConnection
NAN_METHOD(ConnectBroker) {
  Guarded([&] {
    if (!info[1]->IsFunction() || !info[2]->IsFunction())
      throw std::invalid_argument("onMessage and onClose must be functions");
    const int socket_descriptor = Connect(*Nan::Utf8String(info[0]));
    info.GetReturnValue().Set(
        BrokerClient::New(socket_descriptor, info[1].As<v8::Function>(), info[2].As<v8::Function>()));
  });
}

}  // namespace

NAN_MODULE_INIT(InitBrokerClient) { Nan::SetMethod(target, "connectBroker", ConnectBroker); }

}  // namespace weft::binding
