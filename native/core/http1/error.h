// Every reason for which a message is refused. The name is stable (metrics, logs, l5d-proxy-error); the status answers
// a request. A response that is refused is answered with 502, whatever its reason.
#pragma once

#include <cstdint>
#include <string_view>

namespace weft::core::http1 {

enum class Error : uint8_t {
  kNone,
  // Lines and characters.
  kBareCr,
  kBareLf,
  kNul,
  kObsFold,
  kEmptyFieldName,
  kMissingColon,
  kSpaceBeforeColon,
  kFieldNameInvalid,
  kFieldValueInvalid,
  // The start line.
  kRequestLineInvalid,
  kMethodInvalid,
  kMethodTooLong,
  kTargetInvalid,
  kTargetTooLong,
  kTargetFormInvalid,
  kAuthorityInvalid,
  kVersionMissing,
  kVersionInvalid,
  kVersionUnsupported,
  kStatusLineInvalid,
  kStatusInvalid,
  // Bounds.
  kHeadTooLarge,
  kTooManyFields,
  kTooManyConnectionOptions,
  kTooManyInterimResponses,
  // What fields say.
  kHostMissing,
  kHostDuplicate,
  kHostInvalid,
  kConnectionInvalid,
  kConnectionNamesFraming,
  kUpgradeInvalid,
  kContentLengthInvalid,
  kContentLengthDuplicate,
  kContentLengthOverflow,
  kContentLengthAndTransferEncoding,
  kTransferEncodingInvalid,
  kTransferEncodingNotChunked,
  kTransferEncodingUnsupported,
  kTransferEncodingInHttp10,
  kConnectWithBody,
  kInterimWithBody,
  // The body.
  kChunkSizeInvalid,
  kChunkSizeOverflow,
  kChunkLineTooLong,
  kChunkExtensionInvalid,
  kChunkExtensionsTooLarge,
  kChunkEndInvalid,
  kTrailerForbidden,
  kTrailersTooLarge,
  // The connection.
  kTruncated,
  kBytesAfterConnect,
  kUnexpectedResponse,
  kUnexpectedSwitch,
  kUpgradeIgnored,
  // What a caller wants to write.
  kEditInvalid,
  kLast = kEditInvalid,
};

std::string_view Name(Error error);
unsigned Status(Error error);

}  // namespace weft::core::http1
