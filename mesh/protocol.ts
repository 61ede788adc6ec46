/**
 * What a port speaks, as far as somebody has declared it: 'detect' by the first bytes; 'opaque': bytes that nobody looks at, so that the
 * server may speak first.
 */
export type Protocol = 'detect' | 'opaque' | 'http1' | 'http2';

/** By a Service's appProtocol. TLS is the app's own. What nobody knows is opaque, as with Linkerd. */
const declared: ReadonlyMap<string, Protocol> = new Map([
  ['', 'detect'],
  ['http', 'http1'],
  ['kubernetes.io/ws', 'http1'],
  ['http2', 'http2'],
  ['kubernetes.io/h2c', 'http2'],
  ['grpc', 'http2'],
]);

/** @param isOpaque it is among the opaque ports; a declaration goes before that */
export function protocolOf(appProtocol: string, isOpaque: boolean): Protocol {
  const protocol = declared.get(appProtocol) ?? 'opaque';
  return protocol === 'detect' && isOpaque ? 'opaque' : protocol;
}
