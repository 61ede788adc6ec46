import type { IncomingMessage } from 'node:http';
import { request } from 'node:http';
import type { Duplex } from 'node:stream';

import type { ApiAccess } from '../../control-plane/sources/kubernetes/api-access.ts';
import type { ApiRequest, ApiText } from '../../control-plane/sources/kubernetes/api-client.ts';
import { ApiClient, ApiFailure, textOf } from '../../control-plane/sources/kubernetes/api-client.ts';
import { WeftError } from '../../mesh/errors.ts';
import { version } from '../../mesh/version.ts';
import type { KubeObject } from './objects.ts';
import { nameOf } from './objects.ts';
import { forwardPort } from './port-forward.ts';

const requestMs = 30_000;
const pageSize = 500;
const maximumAnswerBytes = 64 * 1024 * 1024;

/** What somebody may want to do; of a whole cluster where no namespace is named. */
export interface Right {
  readonly verb: string;
  readonly group: string;
  readonly resource: string;
  readonly subresource?: string;
  /** Of one object; of all where it is not given. */
  readonly name?: string;
  readonly namespace?: string;
}

export interface AdminAnswer {
  readonly status: number;
  readonly text: string;
}

/** What `weft` asks of a cluster. Everything is read anew at each call and ends with the signal, or after 30 s. @throws WeftError E403, E405 */
export class Cluster {
  readonly #access: ApiAccess;
  readonly #client: ApiClient;

  constructor(access: ApiAccess) {
    this.#access = access;
    this.#client = new ApiClient(access, `weft/${version}`);
  }

  async close(): Promise<void> {
    await this.#client.close();
  }

  /** Like "v1.36.1". */
  async kubernetesVersion(signal: AbortSignal): Promise<string> {
    const answer = (await this.#json({ path: '/version' }, signal)) as { gitVersion?: unknown };
    if (typeof answer.gitVersion !== 'string') throw unreadable('/version', 'it names no version');
    return answer.gitVersion;
  }

  /** By the clock of the API server, to the second. */
  async now(signal: AbortSignal): Promise<number> {
    const { headers } = await this.#text({ path: '/version' }, signal);
    const now = Date.parse(headers.date ?? '');
    if (Number.isNaN(now)) throw unreadable('/version', 'it does not say what time it is');
    return now;
  }

  /** @param path such as /api/v1/pods; what the server does not know has no objects */
  async list<Kind extends KubeObject>(path: string, signal: AbortSignal, selector = ''): Promise<Kind[]> {
    const found: Kind[] = [];
    let next = '';
    do {
      const query = new URLSearchParams({
        limit: String(pageSize),
        ...(selector !== '' && { labelSelector: selector }),
        ...(next !== '' && { continue: next }),
      });
      const page = (await this.#json({ path: `${path}?${query.toString()}` }, signal, [404])) as
        { items?: Kind[]; metadata?: { continue?: string } } | undefined;
      found.push(...(page?.items ?? []));
      next = page?.metadata?.continue ?? '';
    } while (next !== '');
    return found;
  }

  /** Undefined where it does not exist. */
  async get<Kind extends KubeObject>(path: string, signal: AbortSignal): Promise<Kind | undefined> {
    return this.read<Kind>(path, signal);
  }

  /** What is no object, such as lists of kinds. Undefined where it does not exist. */
  async read<Answer>(path: string, signal: AbortSignal): Promise<Answer | undefined> {
    return (await this.#json({ path }, signal, [404])) as Answer | undefined;
  }

  async mayI(right: Right, signal: AbortSignal): Promise<boolean> {
    return this.#review('SelfSubjectAccessReview', {}, right, signal);
  }

  /** Somebody else, such as "system:serviceaccount:NAMESPACE:NAME". */
  async may(user: string, right: Right, signal: AbortSignal): Promise<boolean> {
    return this.#review('SubjectAccessReview', { user }, right, signal);
  }

  async #review(kind: string, who: object, right: Right, signal: AbortSignal): Promise<boolean> {
    const body = { apiVersion: 'authorization.k8s.io/v1', kind, spec: { ...who, resourceAttributes: right } };
    const path = `/apis/authorization.k8s.io/v1/${kind.toLowerCase()}s`;
    const answer = (await this.#json({ method: 'POST', path, body }, signal)) as { status?: { allowed?: boolean } };
    return answer.status?.allowed === true;
  }

  /** What a pod answers on its admin port, whatever its status, by way of the API server. */
  async askPod(pod: KubeObject, port: number, path: string, signal: AbortSignal): Promise<AdminAnswer> {
    const bounded = AbortSignal.any([signal, AbortSignal.timeout(requestMs)]);
    try {
      const connection = await forwardPort(this.#access, pod, port, bounded);
      return await askOver(connection, path, bounded);
    } catch (error) {
      const why = messageOf(bounded.aborted ? bounded.reason : error);
      throw new WeftError('WEFT-E405', `${nameOf(pod)} port ${port}: ${why}`, { cause: error });
    }
  }

  async #json(request: ApiRequest, signal: AbortSignal, absent: readonly number[] = []): Promise<unknown> {
    const answer = await this.#text(request, signal, absent);
    try {
      return answer.text === '' ? undefined : JSON.parse(answer.text);
    } catch (error) {
      throw unreadable(request.path, 'it is not JSON', error);
    }
  }

  async #text(request: ApiRequest, signal: AbortSignal, absent: readonly number[] = []): Promise<ApiText> {
    try {
      return await this.#client.text(request, signal, requestMs);
    } catch (error) {
      if (error instanceof ApiFailure && absent.includes(error.status)) return { headers: {}, text: '' };
      throw new WeftError('WEFT-E403', `${request.path.split('?')[0] ?? ''}: ${messageOf(error)}`, { cause: error });
    }
  }
}

async function askOver(connection: Duplex, path: string, signal: AbortSignal): Promise<AdminAnswer> {
  const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
  const headers = { host: 'localhost', accept: 'text/plain', connection: 'close' };
  connection.on('error', reject);
  try {
    if (connection.errored) throw connection.errored;
    request({ createConnection: () => connection, path, headers, signal }, resolve)
      .on('error', reject)
      .end();
    const answer = await promise;
    return { status: answer.statusCode ?? 0, text: await textOf(answer, maximumAnswerBytes) };
  } finally {
    connection.destroy();
  }
}

function unreadable(path: string, why: string, cause?: unknown): WeftError {
  return new WeftError('WEFT-E403', `the answer to ${path} cannot be used: ${why}`, { cause });
}

function messageOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if (error.name === 'TimeoutError') return `no answer within ${requestMs / 1000} s`;
  const causes = error instanceof AggregateError ? error.errors.map(messageOf).join('; ') : '';
  return error.message || causes || error.name;
}
