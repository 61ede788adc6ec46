import { readFile } from 'node:fs/promises';

import { timestampDate } from '@bufbuild/protobuf/wkt';
import type { Client, Transport } from '@connectrpc/connect';
import { Code, ConnectError, createClient } from '@connectrpc/connect';
import { createGrpcTransport } from '@connectrpc/connect-node';

import { Identity } from '../../../control-plane/gen/weft/v1/identity_pb.ts';
import { WeftError, isErrorCode } from '../../../mesh/errors.ts';

export interface ControllerOptions {
  /** "https://weft-controller.weft:8086"; plain http only on a loopback. */
  readonly url: string;
  /** PEM, asked at each connect as it may be replaced, and the name that the controller's certificate must bear. */
  readonly tls?: { readonly ca: () => string; readonly serverName: string };
}

const pingMs = 10_000;
const pingTimeoutMs = 5000;
const maximumMessageBytes = 16 * 1024 * 1024;
const certifyMs = 10_000;

export function createControllerTransport({ url, tls }: ControllerOptions): Transport {
  return createGrpcTransport({
    baseUrl: url,
    pingIntervalMs: pingMs,
    pingTimeoutMs,
    acceptCompression: [],
    readMaxBytes: maximumMessageBytes,
    ...(tls && {
      nodeOptions: {
        // http2.connect() copies the options, each time.
        get ca() {
          return tls.ca();
        },
        servername: tls.serverName,
        minVersion: 'TLSv1.3',
      },
    }),
  });
}

/** Read anew for each call, as the kubelet renews it. */
export async function readToken(path: string): Promise<string> {
  return (await readFile(path, 'utf8')).trim();
}

export interface IssuedCertificate {
  /** DER, leaf first. */
  readonly chain: readonly Uint8Array[];
  readonly anchors: readonly Uint8Array[];
  readonly notAfter: Date;
}

export class IdentityClient {
  readonly #client: Client<typeof Identity>;

  constructor(transport: Transport) {
    this.#client = createClient(Identity, transport);
  }

  async certify(token: string, csr: Uint8Array, signal: AbortSignal): Promise<IssuedCertificate | WeftError> {
    try {
      const { chain, anchors, notAfter } = await this.#client.certify({ token, csr }, { signal, timeoutMs: certifyMs });
      if (notAfter === undefined)
        return new WeftError('WEFT-E303', 'the controller sent a certificate without its end');
      return { chain, anchors, notAfter: timestampDate(notAfter) };
    } catch (error) {
      return fromRpcError(error);
    }
  }
}

/** With the controller's own code where it sent one. */
export function fromRpcError(error: unknown): WeftError {
  if (error instanceof WeftError) return error;
  const reason = certificateTimeFault(error);
  if (reason !== undefined)
    return new WeftError('WEFT-E220', `by the clock of this node the certificate of the controller ${reason}`, {
      cause: error,
    });
  const rpc = ConnectError.from(error, Code.Unavailable);
  const code = rpc.metadata.get('weft-error');
  return new WeftError(isErrorCode(code) ? code : 'WEFT-E306', rpc.rawMessage, { cause: error });
}

/** By Node's codes of X509_V_ERR_*; the error that has one lies somewhere below the RPC's. */
function certificateTimeFault(error: unknown): string | undefined {
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    const { code } = cause as NodeJS.ErrnoException;
    if (code === 'CERT_NOT_YET_VALID') return 'is not valid yet';
    if (code === 'CERT_HAS_EXPIRED') return 'has expired';
  }
  return undefined;
}
