#include "synthetic_response.h"

#include <ctime>

#include "request_record.h"

namespace weft::core::http {
namespace {

std::string_view ReasonOf(uint32_t status) {
  switch (status) {
    case 200:
      return "OK";
    case 204:
      return "No Content";
    case 301:
      return "Moved Permanently";
    case 302:
      return "Found";
    case 304:
      return "Not Modified";
    case 307:
      return "Temporary Redirect";
    case 308:
      return "Permanent Redirect";
    case 400:
      return "Bad Request";
    case 401:
      return "Unauthorized";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 408:
      return "Request Timeout";
    case 414:
      return "URI Too Long";
    case 421:
      return "Misdirected Request";
    case 429:
      return "Too Many Requests";
    case 431:
      return "Request Header Fields Too Large";
    case 500:
      return "Internal Server Error";
    case 501:
      return "Not Implemented";
    case 502:
      return "Bad Gateway";
    case 503:
      return "Service Unavailable";
    case 504:
      return "Gateway Timeout";
    case 505:
      return "HTTP Version Not Supported";
    case 508:
      return "Loop Detected";
    default:
      return "";
  }
}

std::string Date() {
  const time_t now = time(nullptr);
  tm utc;
  gmtime_r(&now, &utc);
  char text[64];
  return {text, strftime(text, sizeof text, "%a, %d %b %Y %H:%M:%S GMT", &utc)};
}

// gRPC, "HTTP to gRPC status code mapping", where the decision did not say.
uint32_t GrpcStatusOfHttp(uint32_t status) {
  switch (status) {
    case 400:
      return 13;
    case 401:
      return 16;
    case 403:
      return 7;
    case 404:
      return 12;
    case 429:
    case 502:
    case 503:
    case 504:
      return 14;
    default:
      return 2;
  }
}

}  // namespace

uint32_t GrpcStatusOf(const ResponseDefinition& response) {
  return response.grpc_status != kNoGrpcStatus ? response.grpc_status : GrpcStatusOfHttp(response.status);
}

void WriteSyntheticHttp1(const ResponseDefinition& response, const SyntheticForm& form, std::string& out) {
  const uint32_t status = form.grpc ? 200 : response.status;
  out.append("HTTP/1.1 ").append(std::to_string(status)).append(" ").append(ReasonOf(status)).append("\r\n");
  out.append(response.fields);
  out.append("date: ").append(Date()).append("\r\n");
  if (form.close) {
    out.append("connection: close\r\n");
  } else if (form.http10) {
    out.append("connection: keep-alive\r\n");
  }
  if (form.grpc) {
    out.append("content-type: application/grpc\r\ngrpc-status: ").append(std::to_string(GrpcStatusOf(response)));
    if (!response.grpc_message.empty()) out.append("\r\ngrpc-message: ").append(response.grpc_message);
    out.append("\r\ncontent-length: 0\r\n\r\n");
    return;
  }
  const bool has_length = status != 204 && status != 304;
  if (has_length) out.append("content-length: ").append(std::to_string(response.body.size())).append("\r\n");
  out.append("\r\n");
  if (!form.head) out.append(response.body);
}

void MakeSyntheticHttp2(const ResponseDefinition& response, const SyntheticForm& form, http2::Head& out) {
  out.Reset();
  out.status = static_cast<uint16_t>(form.grpc ? 200 : response.status);
  std::string_view fields = response.fields;
  while (!fields.empty()) {
    const std::string_view line = fields.substr(0, fields.find("\r\n"));
    const size_t colon = line.find(": ");
    out.Add(line.substr(0, colon), line.substr(colon + 2));
    fields.remove_prefix(line.size() + 2);
  }
  out.Add("date", Date());
  if (form.grpc) {
    out.Add("content-type", "application/grpc");
    out.Add("grpc-status", std::to_string(GrpcStatusOf(response)));
    if (!response.grpc_message.empty()) out.Add("grpc-message", response.grpc_message);
  } else if (response.status != 204 && response.status != 304) {
    out.Add("content-length", std::to_string(response.body.size()));
  }
  out.ends = form.grpc || form.head || response.body.empty();
}

}  // namespace weft::core::http
