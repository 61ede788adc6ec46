import type { Fields } from '../sources/fields.ts';
import { fields } from '../sources/fields.ts';
import type { ApiClient } from '../sources/kubernetes/api-client.ts';
import { ApiFailure } from '../sources/kubernetes/api-client.ts';

/** Who holds it, as far as an election reads it. */
export interface Lease {
  /** Empty where nobody does. */
  readonly holder: string;
  /** How long others wait after they have seen it renewed; undefined of one that was never held. */
  readonly durationMs: number | undefined;
  readonly acquireTime: string | undefined;
  /** Undefined of one that was never held. */
  readonly transitions: number | undefined;
  /** Differs after every write. */
  readonly revision: string;
  /** As the server has it. */
  readonly object: Fields;
}

export interface LeaseClaim {
  /** Empty to give it up. */
  readonly holder: string;
  readonly seconds: number;
  readonly acquireTime: string;
  readonly transitions: number;
  readonly renewTime: string;
}

export interface LeaseStoreOptions {
  readonly client: Pick<ApiClient, 'json'>;
  readonly namespace: string;
  readonly name: string;
  readonly requestMs: number;
}

/** One Lease of an API server. A write fails with 409 where somebody else has written since it was read. */
export class LeaseStore {
  readonly #options: LeaseStoreOptions;
  readonly #collection: string;

  constructor(options: LeaseStoreOptions) {
    this.#options = options;
    this.#collection = `/apis/coordination.k8s.io/v1/namespaces/${options.namespace}/leases`;
  }

  /** Undefined where there is none. @throws ApiFailure, or what the network says */
  async read(signal: AbortSignal): Promise<Lease | undefined> {
    const { client, requestMs } = this.#options;
    try {
      return leaseOf(await client.json({ path: this.#path }, signal, requestMs));
    } catch (error) {
      if (error instanceof ApiFailure && error.status === 404) return undefined;
      throw error;
    }
  }

  /** @param before as it was read; undefined where there was none. @throws ApiFailure, or what the network says */
  async write(before: Lease | undefined, claim: LeaseClaim, signal: AbortSignal): Promise<Lease> {
    const { client, namespace, name, requestMs } = this.#options;
    const kind = { apiVersion: 'coordination.k8s.io/v1', kind: 'Lease' };
    const metadata = before === undefined ? { namespace, name } : before.object['metadata'];
    const spec = {
      ...fields(before?.object['spec'] ?? {}, 'spec'), // what others may have said there stays
      holderIdentity: claim.holder,
      leaseDurationSeconds: claim.seconds,
      acquireTime: claim.acquireTime,
      renewTime: claim.renewTime,
      leaseTransitions: claim.transitions,
    };
    const body = { ...before?.object, ...kind, metadata, spec };
    const request =
      before === undefined
        ? ({ method: 'POST', path: this.#collection, body } as const)
        : ({ method: 'PUT', path: this.#path, body } as const);
    return leaseOf(await client.json(request, signal, requestMs));
  }

  get #path(): string {
    return `${this.#collection}/${this.#options.name}`;
  }
}

/** Of the wall clock in milliseconds: with six digits, as MicroTime has them. */
export function microTime(milliseconds: number): string {
  return new Date(milliseconds).toISOString().replace('Z', '000Z');
}

function leaseOf(answer: unknown): Lease {
  const object = fields(answer, 'the Lease');
  const spec = fields(object['spec'] ?? {}, 'spec');
  const { holderIdentity, leaseDurationSeconds: seconds, acquireTime, leaseTransitions: transitions } = spec;
  const { resourceVersion } = fields(object['metadata'], 'metadata');
  return {
    holder: typeof holderIdentity === 'string' ? holderIdentity : '',
    durationMs: typeof seconds === 'number' ? seconds * 1000 : undefined,
    acquireTime: typeof acquireTime === 'string' ? acquireTime : undefined,
    transitions: typeof transitions === 'number' ? transitions : undefined,
    revision: typeof resourceVersion === 'string' ? resourceVersion : '',
    object,
  };
}
