#include "failure.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>

namespace weft::core::tls {

Reason ReasonOfVerification(long error) {
  switch (error) {
    case X509_V_ERR_CERT_HAS_EXPIRED:
      return Reason::kExpired;
    case X509_V_ERR_CERT_NOT_YET_VALID:
      return Reason::kNotYetValid;
    case X509_V_ERR_HOSTNAME_MISMATCH:
      return Reason::kWrongName;
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_CERT_UNTRUSTED:
      return Reason::kUnknownAuthority;
    default:
      return Reason::kBadCertificate;
  }
}

Failure TakeQueuedFailure() {
  const unsigned long error = ERR_peek_error();
  ERR_clear_error();
  const int reason = ERR_GET_LIB(error) == ERR_LIB_SSL ? ERR_GET_REASON(error) : 0;
  if (reason > SSL_AD_REASON_OFFSET && reason < SSL_AD_REASON_OFFSET + 256) {
    return {Reason::kAlert, reason - SSL_AD_REASON_OFFSET};
  }
  switch (reason) {
    case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE:
      return {Reason::kNoCertificate};
    case SSL_R_NO_APPLICATION_PROTOCOL:
      return {Reason::kNoProtocol};
    case SSL_R_UNEXPECTED_EOF_WHILE_READING:
      return {Reason::kTruncated};
    default:
      return {Reason::kProtocol};
  }
}

}  // namespace weft::core::tls
