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
