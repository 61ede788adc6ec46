import type { Protocol } from '../../../mesh/protocol.ts';
import { detections } from '../inbound.ts';

/** 'detect': look at the first bytes, then ask again; 'http': every request is decided; 'bytes': nobody looks at them. */
export type Carriage = 'detect' | 'http' | 'bytes';

const endedByEngine: ReadonlySet<number> = new Set([detections.http1, detections.http2]);

/** How a connection is carried, by what is declared and what its first bytes are. What is detected goes before a declaration. */
export function carriageOf(declared: Protocol, detected: number): Carriage {
  if (declared === 'opaque') return 'bytes';
  if (detected === detections.nothing) return 'detect';
  if (endedByEngine.has(detected)) return 'http';
  // Of HTTP/1 it is known that the client will speak first, however late.
  return declared === 'http1' && detected === detections.timeout ? 'http' : 'bytes';
}

/**
 * How a stream is carried of which nobody has looked at a byte here. Its peer is believed but for one thing: what is declared to be HTTP
 * does not become bytes, in which requests would pass undecided.
 */
export function carriageOfClaim(declared: Protocol, claimed: number): Carriage {
  const carriage = carriageOf(declared, claimed);
  const isHttp = declared === 'http1' || declared === 'http2';
  return carriage === 'bytes' && isHttp && claimed === detections.plaintext ? 'detect' : carriage;
}
