import type { Engine, HeaderEdits } from '../../../native/engine.d.ts';
import type { ExchangeEdits } from './request-record.ts';

/** What only the mesh may say. Nobody outside is believed, and no app is told. */
const meshRequestHeaders = [
  'l5d-client-id',
  'l5d-orig-proto',
  'l5d-dst-canonical',
  'l5d-dst-override',
  'l5d-require-id',
  'l5d-proxy-error',
  'l5d-proxy-connection',
  'l5d-retry-http',
  'l5d-retry-grpc',
  'l5d-retry-limit',
  'l5d-retry-timeout',
  'l5d-timeout',
  'l5d-request-timeout',
  'l5d-response-timeout',
] as const;

const meshResponseHeaders = ['l5d-proxy-error', 'l5d-proxy-connection', 'l5d-client-id', 'l5d-orig-proto'] as const;

const ofRequests: HeaderEdits = { remove: meshRequestHeaders };
const ofResponses: HeaderEdits = { remove: meshResponseHeaders };

/** As many clients' names as are kept without a connection of theirs. */
const maximumUnused = 1024;

/** They tell an app who the client is. */
export interface NamedEdits extends ExchangeEdits {
  /** Number of its name. */
  readonly client: number;
}

interface Counted extends NamedEdits {
  users: number;
}

type EditsEngine = Pick<Engine, 'defineHeaderEdits' | 'releaseHeaderEdits' | 'nameOf'>;

/** The edits that every request and response gets: defined once, and once for each client's name. */
export class MeshHeaders {
  /** Nobody is told who the client is: it has no identity, or the next agent tells. */
  readonly anonymous: ExchangeEdits;
  readonly #engine: EditsEngine;
  readonly #byClient = new Map<number, Counted>();
  /** Those without users, the least recently used first. */
  readonly #unused = new Set<Counted>();

  constructor(engine: EditsEngine) {
    this.#engine = engine;
    this.anonymous = {
      requestEdits: engine.defineHeaderEdits(ofRequests),
      responseEdits: engine.defineHeaderEdits(ofResponses),
    };
  }

  /** To be given back by release(). @param client number of its name */
  acquire(client: number): NamedEdits {
    const edits = this.#byClient.get(client) ?? this.#define(client);
    if (edits.users++ === 0) this.#unused.delete(edits);
    return edits;
  }

  release({ client }: NamedEdits): void {
    const edits = this.#byClient.get(client);
    if (edits === undefined || --edits.users > 0) return;
    this.#unused.add(edits);
    if (this.#unused.size > maximumUnused) this.#forgetOldest();
  }

  #define(client: number): Counted {
    const name = this.#engine.nameOf(client);
    const requestEdits = this.#engine.defineHeaderEdits({ ...ofRequests, set: { 'l5d-client-id': name } });
    const edits = { client, requestEdits, responseEdits: this.anonymous.responseEdits, users: 0 };
    this.#byClient.set(client, edits);
    return edits;
  }

  #forgetOldest(): void {
    const [oldest] = this.#unused;
    if (oldest === undefined) return;
    this.#unused.delete(oldest);
    this.#byClient.delete(oldest.client);
    this.#engine.releaseHeaderEdits(oldest.requestEdits);
  }
}
