import type { Socket } from 'node:net';
import { deserialize, serialize } from 'node:v8';

const headerBytes = 4;
/** Above a full batch of connection reports. */
const maximumFromWorker = 8 * 1024 * 1024;
/** Above all that a worker is told at its start. A worker that does not read so much is not going to. */
const maximumUnread = 256 * 1024 * 1024;

/** Descriptor of a worker's end, by its number there. */
export const channelDescriptor = 3;

export interface ChannelEvents {
  readonly onMessage: (message: unknown) => void;
  /** Once: the other end is gone, or the error tells what it did that it must not do. Nothing comes after it. */
  readonly onEnd: (error: Error | undefined) => void;
}

interface Codec {
  readonly encode: (message: object) => Uint8Array;
  readonly decode: (bytes: Buffer) => unknown;
  readonly maximumBytes: number;
}

/**
 * Messages between main and a worker, each after its length. Node's own channel would not do: a worker that strangers have taken over
 * could end main there by bytes that are no message, by messages of Node's own, and by a message without end.
 */
export class Channel {
  readonly #socket: Socket;
  readonly #codec: Codec;
  readonly #events: ChannelEvents;
  #parts: Buffer[] = [];
  #received = 0;
  #wanted = headerBytes;
  #inMessage = false;
  #ended = false;

  private constructor(socket: Socket, codec: Codec, events: ChannelEvents) {
    this.#socket = socket;
    this.#codec = codec;
    this.#events = events;
    socket.on('data', (bytes: Buffer) => {
      this.#receive(bytes);
    });
    socket.on('error', () => undefined); // 'close' follows
    socket.on('close', () => {
      this.#end(undefined);
    });
  }

  /** Main's end. What comes is JSON, as nothing else is safe to read from whom nobody trusts. */
  static toWorker(socket: Socket, events: ChannelEvents): Channel {
    const decode = (bytes: Buffer): unknown => JSON.parse(bytes.toString());
    return new Channel(socket, { encode: serialize, decode, maximumBytes: maximumFromWorker }, events);
  }

  static toMain(socket: Socket, events: ChannelEvents): Channel {
    const encode = (message: object): Uint8Array => Buffer.from(JSON.stringify(message));
    return new Channel(socket, { encode, decode: deserialize, maximumBytes: 0xffffffff }, events);
  }

  /** Resolves to whether the message has left. */
  send(message: object): Promise<boolean> {
    if (this.#ended) return Promise.resolve(false);
    if (this.#socket.writableLength > maximumUnread) {
      this.#end(new Error('it does not read its messages'));
      return Promise.resolve(false);
    }
    const body = this.#codec.encode(message);
    const header = Buffer.alloc(headerBytes);
    header.writeUInt32BE(body.length);
    return new Promise((resolve) => {
      this.#socket.write(Buffer.concat([header, body]), (error) => resolve(error === undefined || error === null));
    });
  }

  #receive(bytes: Buffer): void {
    let rest = bytes;
    while (!this.#ended && rest.length > 0) {
      const part = rest.subarray(0, this.#wanted - this.#received);
      rest = rest.subarray(part.length);
      this.#parts.push(part);
      this.#received += part.length;
      if (this.#received === this.#wanted) this.#complete(Buffer.concat(this.#parts));
    }
  }

  #complete(bytes: Buffer): void {
    const isMessage = this.#inMessage;
    this.#parts = [];
    this.#received = 0;
    this.#inMessage = !isMessage;
    this.#wanted = isMessage ? headerBytes : bytes.readUInt32BE();
    if (!isMessage) {
      const fits = this.#wanted > 0 && this.#wanted <= this.#codec.maximumBytes;
      if (!fits) this.#end(new Error(`it announces a message of ${this.#wanted} bytes`));
      return;
    }
    let message: unknown;
    try {
      message = this.#codec.decode(bytes);
    } catch (cause) {
      this.#end(new Error('what it sends is no message', { cause }));
      return;
    }
    this.#events.onMessage(message);
  }

  #end(error: Error | undefined): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#parts = [];
    this.#socket.destroy();
    this.#events.onEnd(error);
  }
}
