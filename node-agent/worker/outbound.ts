import type { Address } from '../../mesh/address.ts';
import type { Destination, Endpoint } from './destinations.ts';

/** 'wait' until main knows more; 'direct' to where the client dialled. */
export type OutboundDecision = Endpoint | 'wait' | 'direct' | 'refuse';

/** Where what a client begins goes. A peer of which nobody knows whether it is meshed is waited for, never tried in plaintext. */
export function decideOutbound(
  destination: Destination | undefined,
  client: Address,
  random = Math.random,
): OutboundDecision {
  if (destination === undefined) return 'wait';
  switch (destination.kind) {
    case 'unknown':
      return 'wait';
    case 'external':
      return 'direct';
    case 'endpoints': {
      const { affinity, endpoints } = destination;
      const endpoint = affinity?.endpointOf(client) ?? endpoints[Math.floor(random() * endpoints.length)];
      if (endpoint === undefined) return 'refuse';
      return endpoint.meshed === undefined ? 'wait' : endpoint;
    }
  }
}
