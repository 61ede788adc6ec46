/**
 * The messages of native/broker/protocol.h that main sends and reads: structures of one build on one host, little-endian as every
 * platform that Weft is built for. native/broker/protocol.test.ts compares the offsets with the compiler's.
 */

export const messageTypes = {
  hello: 1,
  setListenerMap: 10,
  addPod: 11,
  removePod: 12,
  prove: 13,
  drain: 14,
  podAdded: 20,
  proved: 21,
} as const;

const roleMain = 1;
export const maximumAvoidedPorts = 64;
export const firstListenerPort = 61000;

export const layouts = {
  hello: { size: 12, role: 4, slot: 8 },
  setListenerMap: { size: 4 },
  addPod: { size: 180, pod: 4, workers: 8, ipv6: 12, ipv4: 16, ipv6Address: 32, avoidedCount: 48, avoided: 52 },
  removePod: { size: 8, pod: 4 },
  prove: { size: 32, pod: 4, deadlineMs: 8, port: 12, destination: 16 },
  drain: { size: 8, graceMs: 4 },
  podAdded: { size: 16, pod: 4, error: 8, port: 12 },
  proved: { size: 16, pod: 4, error: 8, sourcePort: 12 },
} as const;

export interface AddPodMessage {
  readonly pod: number;
  readonly workers: number;
  readonly ipv4: Uint8Array | undefined;
  readonly ipv6: Uint8Array | undefined;
  readonly avoidedPorts: readonly number[];
}

export interface ProveMessage {
  readonly pod: number;
  readonly deadlineMs: number;
  readonly port: number;
  readonly destination: Uint8Array;
}

export type BrokerAnswer =
  | { readonly type: 'pod-added'; readonly pod: number; readonly error: number; readonly port: number }
  | { readonly type: 'proved'; readonly pod: number; readonly error: number; readonly sourcePort: number }
  | { readonly type: 'drain' };

export function encodeHello(): Buffer {
  const message = newMessage(messageTypes.hello, layouts.hello.size);
  message.writeUInt32LE(roleMain, layouts.hello.role);
  return message;
}

export function encodeSetListenerMap(): Buffer {
  return newMessage(messageTypes.setListenerMap, layouts.setListenerMap.size);
}

export function encodeAddPod(pod: AddPodMessage): Buffer {
  const layout = layouts.addPod;
  const message = newMessage(messageTypes.addPod, layout.size);
  message.writeUInt32LE(pod.pod, layout.pod);
  message.writeUInt32LE(pod.workers, layout.workers);
  message.writeUInt32LE(pod.ipv6 === undefined ? 0 : 1, layout.ipv6);
  if (pod.ipv4) message.set(pod.ipv4, layout.ipv4);
  if (pod.ipv6) message.set(pod.ipv6, layout.ipv6Address);
  const avoided = pod.avoidedPorts.filter((port) => port >= firstListenerPort).slice(0, maximumAvoidedPorts);
  message.writeUInt32LE(avoided.length, layout.avoidedCount);
  avoided.forEach((port, index) => message.writeUInt16LE(port, layout.avoided + 2 * index));
  return message;
}

export function encodeRemovePod(pod: number): Buffer {
  const message = newMessage(messageTypes.removePod, layouts.removePod.size);
  message.writeUInt32LE(pod, layouts.removePod.pod);
  return message;
}

export function encodeProve(proof: ProveMessage): Buffer {
  const layout = layouts.prove;
  const message = newMessage(messageTypes.prove, layout.size);
  message.writeUInt32LE(proof.pod, layout.pod);
  message.writeUInt32LE(proof.deadlineMs, layout.deadlineMs);
  message.writeUInt32LE(proof.port, layout.port);
  message.set(proof.destination, layout.destination);
  return message;
}

export function encodeDrain(graceMs: number): Buffer {
  const message = newMessage(messageTypes.drain, layouts.drain.size);
  message.writeUInt32LE(graceMs, layouts.drain.graceMs);
  return message;
}

/** Undefined for what main does not expect. */
export function decodeAnswer(message: Buffer): BrokerAnswer | undefined {
  if (message.length < 4) return undefined;
  switch (message.readUInt32LE(0)) {
    case messageTypes.podAdded:
      return message.length === layouts.podAdded.size
        ? {
            type: 'pod-added',
            pod: message.readUInt32LE(layouts.podAdded.pod),
            error: message.readInt32LE(layouts.podAdded.error),
            port: message.readUInt32LE(layouts.podAdded.port),
          }
        : undefined;
    case messageTypes.proved:
      return message.length === layouts.proved.size
        ? {
            type: 'proved',
            pod: message.readUInt32LE(layouts.proved.pod),
            error: message.readInt32LE(layouts.proved.error),
            sourcePort: message.readUInt32LE(layouts.proved.sourcePort),
          }
        : undefined;
    case messageTypes.drain:
      return message.length === layouts.drain.size ? { type: 'drain' } : undefined;
    default:
      return undefined;
  }
}

function newMessage(type: number, size: number): Buffer {
  const message = Buffer.alloc(size);
  message.writeUInt32LE(type, 0);
  return message;
}
