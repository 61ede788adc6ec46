import type { FakeApiServer, FakeRequest } from '../sources/kubernetes/fake-api-server.ts';

export interface LeaseObject {
  readonly metadata: { readonly name: string; readonly resourceVersion?: string } & Record<string, unknown>;
  readonly spec?: Record<string, unknown>;
}

const name = 'weft-controller';

/** One Lease of a fake server, with the optimistic concurrency that elections rest on. */
export class FakeLease {
  readonly place: { readonly namespace: string; readonly name: string };
  readonly path: string;
  object: LeaseObject | undefined;
  /** Holders, as they were written. */
  readonly writes: string[] = [];
  /** After a write, before its answer. */
  onWrite: () => void = () => undefined;
  #revision = 100;

  constructor(server: FakeApiServer, namespace = 'mesh') {
    const collection = `/apis/coordination.k8s.io/v1/namespaces/${namespace}/leases`;
    this.place = { namespace, name };
    this.path = `${collection}/${name}`;
    server.handlers.set(collection, ({ body }) => {
      if (this.object !== undefined) return refusal(409, 'it exists already');
      return this.#written(201, JSON.parse(body) as LeaseObject);
    });
    server.handlers.set(this.path, (request) => this.#answer(request));
  }

  /** As somebody else writes it. */
  set(object: LeaseObject): void {
    const resourceVersion = `${++this.#revision}`;
    this.object = { ...object, metadata: { ...object.metadata, resourceVersion } };
  }

  #answer({ method, body }: FakeRequest): { status: number; body: unknown } | undefined {
    if (this.object === undefined) return undefined;
    if (method === 'GET') return { status: 200, body: this.object };
    const sent = JSON.parse(body) as LeaseObject;
    if (sent.metadata.resourceVersion !== this.object.metadata.resourceVersion)
      return refusal(409, 'the object has been modified');
    return this.#written(200, sent);
  }

  #written(status: number, object: LeaseObject): { status: number; body: unknown } {
    this.set(object);
    this.writes.push(String(object.spec?.['holderIdentity']));
    const body = this.object;
    this.onWrite();
    return { status, body };
  }
}

function refusal(code: number, message: string): { status: number; body: unknown } {
  return { status: code, body: { kind: 'Status', status: 'Failure', code, message } };
}
