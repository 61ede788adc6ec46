#include "error.h"

namespace weft::core::http1 {
namespace {

struct Entry {
  Error error;
  std::string_view name;
  unsigned status;
};

constexpr Entry kEntries[] = {
    {Error::kNone, "none", 200},
    {Error::kBareCr, "bare_cr", 400},
    {Error::kBareLf, "bare_lf", 400},
    {Error::kNul, "nul", 400},
    {Error::kObsFold, "obs_fold", 400},
    {Error::kEmptyFieldName, "empty_field_name", 400},
    {Error::kMissingColon, "missing_colon", 400},
    {Error::kSpaceBeforeColon, "space_before_colon", 400},
    {Error::kFieldNameInvalid, "field_name_invalid", 400},
    {Error::kFieldValueInvalid, "field_value_invalid", 400},
    {Error::kRequestLineInvalid, "request_line_invalid", 400},
    {Error::kMethodInvalid, "method_invalid", 400},
    {Error::kMethodTooLong, "method_too_long", 501},
    {Error::kTargetInvalid, "target_invalid", 400},
    {Error::kTargetTooLong, "target_too_long", 414},
    {Error::kTargetFormInvalid, "target_form_invalid", 400},
    {Error::kAuthorityInvalid, "authority_invalid", 400},
    {Error::kVersionMissing, "version_missing", 400},
    {Error::kVersionInvalid, "version_invalid", 400},
    {Error::kVersionUnsupported, "version_unsupported", 505},
    {Error::kStatusLineInvalid, "status_line_invalid", 502},
    {Error::kStatusInvalid, "status_invalid", 502},
    {Error::kHeadTooLarge, "head_too_large", 431},
    {Error::kTooManyFields, "too_many_fields", 431},
    {Error::kTooManyConnectionOptions, "too_many_connection_options", 431},
    {Error::kTooManyInterimResponses, "too_many_interim_responses", 502},
    {Error::kHostMissing, "host_missing", 400},
    {Error::kHostDuplicate, "host_duplicate", 400},
    {Error::kHostInvalid, "host_invalid", 400},
    {Error::kConnectionInvalid, "connection_invalid", 400},
    {Error::kConnectionNamesFraming, "connection_names_framing", 400},
    {Error::kUpgradeInvalid, "upgrade_invalid", 400},
    {Error::kContentLengthInvalid, "content_length_invalid", 400},
    {Error::kContentLengthDuplicate, "content_length_duplicate", 400},
    {Error::kContentLengthOverflow, "content_length_overflow", 400},
    {Error::kContentLengthAndTransferEncoding, "content_length_and_transfer_encoding", 400},
    {Error::kTransferEncodingInvalid, "transfer_encoding_invalid", 400},
    {Error::kTransferEncodingNotChunked, "transfer_encoding_not_chunked", 400},
    {Error::kTransferEncodingUnsupported, "transfer_encoding_unsupported", 501},
    {Error::kTransferEncodingInHttp10, "transfer_encoding_in_http10", 400},
    {Error::kConnectWithBody, "connect_with_body", 400},
    {Error::kInterimWithBody, "interim_with_body", 502},
    {Error::kChunkSizeInvalid, "chunk_size_invalid", 400},
    {Error::kChunkSizeOverflow, "chunk_size_overflow", 400},
    {Error::kChunkLineTooLong, "chunk_line_too_long", 400},
    {Error::kChunkExtensionInvalid, "chunk_extension_invalid", 400},
    {Error::kChunkExtensionsTooLarge, "chunk_extensions_too_large", 400},
    {Error::kChunkEndInvalid, "chunk_end_invalid", 400},
    {Error::kTrailerForbidden, "trailer_forbidden", 400},
    {Error::kTrailersTooLarge, "trailers_too_large", 431},
    {Error::kTruncated, "truncated", 400},
    {Error::kBytesAfterConnect, "bytes_after_connect", 400},
    {Error::kUnexpectedResponse, "unexpected_response", 502},
    {Error::kUnexpectedSwitch, "unexpected_switch", 502},
    {Error::kUpgradeIgnored, "upgrade_ignored", 502},
    {Error::kEditInvalid, "edit_invalid", 500},
};

constexpr bool IsInOrder() {
  unsigned at = 0;
  for (const Entry& entry : kEntries) {
    if (static_cast<unsigned>(entry.error) != at++) return false;
  }
  return at == static_cast<unsigned>(Error::kLast) + 1;
}
static_assert(IsInOrder());

}  // namespace

std::string_view Name(Error error) { return kEntries[static_cast<unsigned>(error)].name; }

unsigned Status(Error error) { return kEntries[static_cast<unsigned>(error)].status; }

}  // namespace weft::core::http1
