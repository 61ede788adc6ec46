#include "message_end.h"

#include "../http1/writer.h"
#include "../http2/convert.h"
#include "shared.h"

namespace weft::core::http {

std::string_view LastChunk(Shared& shared, const HeadView& trailers) {
  const http1::Head* written = trailers.http1;
  Scratch& scratch = shared.scratch;
  if (trailers.http2 != nullptr &&
      http2::TrailersToHttp1(*trailers.http2, scratch.text, scratch.http1) == http1::Error::kNone) {
    written = &scratch.http1;
  }
  shared.written_end.clear();
  http1::WriteLastChunk(written, {}, shared.written_end);
  return shared.written_end;
}

void FinishStream(Shared& shared, http2::Session& session, http2::Stream& stream, const HeadView& trailers) {
  if (trailers.empty()) return session.Finish(stream);
  http2::Head& head = shared.scratch.http2;
  const http1::Error error = trailers.http2 != nullptr ? http2::ForwardTrailers(*trailers.http2, {}, head)
                                                       : http2::TrailersFromHttp1(*trailers.http1, {}, head);
  if (error != http1::Error::kNone) return session.Finish(stream);
  session.FinishWith(stream, head);
}

}  // namespace weft::core::http
