import type { Socket } from 'node:net';

/**
 * The connections of a server, so many at most. Where there are more the one goes that has shown nothing for longest: whoever opens
 * connections and keeps them does not keep others out.
 */
export class Places {
  readonly #maximum: number;
  /** By the peer, oldest first: under TLS the socket of a request is another than that of its connection. */
  readonly #strangers = new Map<string, Socket>();
  readonly #known = new Map<string, Socket>();

  constructor(maximum: number) {
    this.#maximum = maximum;
  }

  readonly take = (socket: Socket): void => {
    const peer = peerOf(socket);
    this.#strangers.set(peer, socket);
    socket.once('close', () => {
      for (const those of [this.#strangers, this.#known]) if (those.get(peer) === socket) those.delete(peer);
    });
    if (this.#strangers.size + this.#known.size <= this.#maximum) return;
    for (const [oldest, itsSocket] of this.#strangers) {
      this.#strangers.delete(oldest);
      itsSocket.destroy();
      return;
    }
  };

  /** It has its place for as long as it lasts. */
  keep(socket: Socket): void {
    const peer = peerOf(socket);
    const taken = this.#strangers.get(peer);
    if (taken === undefined) return;
    this.#strangers.delete(peer);
    this.#known.set(peer, taken);
  }

  /** Also those on which no request has come yet, which no server of Node ends by itself. */
  destroyAll(): void {
    for (const socket of [...this.#strangers.values(), ...this.#known.values()]) socket.destroy();
  }
}

function peerOf({ remoteAddress, remotePort }: Socket): string {
  return `${remoteAddress} ${remotePort}`;
}
