import type { Address } from '../../../mesh/address.ts';
import { Lookup, keyOf } from '../destinations.ts';
import type { Connection } from '../decide.ts';
import type { Direction } from '../messages.ts';
import type { WorkerPod } from '../pods.ts';
import type { CountedConnection } from './counted-connection.ts';
import type { NamedEdits } from './mesh-headers.ts';

/** A client's connection that carries HTTP. */
export interface HttpConnection extends Connection {
  readonly id: number;
  /** Number of the identity that the client has proven; 0: none. */
  readonly peerName: number;
}

/** What the requests of one connection have in common. */
export class RequestContext {
  readonly connection: number;
  readonly direction: Direction;
  /** Whose request it is, or to whom it comes. */
  readonly pod: WorkerPod;
  /** Inbound: number of the identity that the client has proven; 0: it comes in plaintext from outside of the mesh. */
  readonly peer: number;
  /** What the client dialled: a service or a pod. Inbound: the app. */
  readonly address: Address;
  readonly port: number;
  readonly clientAddress: Address;
  readonly clientPort: number;
  /** Outbound: of where it goes. */
  readonly destination: Lookup;
  /** Tell an app who the client is; once a request has needed them. */
  named: NamedEdits | undefined;
  /** Where its last request was counted. */
  counted: CountedConnection | undefined;

  /** @param connection its addresses may be views that change: they are copied */
  constructor(connection: HttpConnection, direction: Direction, pod: WorkerPod) {
    this.connection = connection.id;
    this.direction = direction;
    this.pod = pod;
    this.peer = direction === 'inbound' ? connection.peerName : 0;
    this.address = connection.localAddress.slice();
    this.port = connection.localPort;
    this.clientAddress = connection.remoteAddress.slice();
    this.clientPort = connection.remotePort;
    this.destination = new Lookup(keyOf(this.address, this.port));
  }

  /** Number of the client's identity; 0: none, or not known yet. */
  get client(): number {
    return this.direction === 'inbound' ? this.peer : this.pod.identity;
  }
}

/** Those of open connections, by the numbers that the engine gives back with each request. */
export class RequestContexts {
  readonly #byNumber: (RequestContext | undefined)[] = [undefined]; // 0 is nobody's
  readonly #free: number[] = [];
  readonly #numbers = new Map<number, number>();

  get size(): number {
    return this.#numbers.size;
  }

  /** @returns its number */
  add(context: RequestContext): number {
    const number = this.#free.pop() ?? this.#byNumber.length;
    this.#byNumber[number] = context;
    this.#numbers.set(context.connection, number);
    return number;
  }

  get(number: number): RequestContext | undefined {
    return this.#byNumber[number];
  }

  /** Of a connection that has ended; no request of it is under way any more. Undefined where it had none. */
  remove(connection: number): RequestContext | undefined {
    const number = this.#numbers.get(connection);
    if (number === undefined) return undefined;
    this.#numbers.delete(connection);
    this.#free.push(number);
    const context = this.#byNumber[number];
    this.#byNumber[number] = undefined;
    return context;
  }
}
