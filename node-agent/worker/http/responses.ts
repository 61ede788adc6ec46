import type { Engine, SyntheticResponse } from '../../../native/engine.d.ts';
import type { Failure } from './failures.ts';

/** Each cause names an endpoint, so there may be any number of them. */
const maximumFailures = 1024;

/** A response that the mesh gives itself, defined once. */
export interface DefinedResponse {
  readonly number: number;
}

type ResponsesEngine = Pick<Engine, 'defineResponse' | 'releaseResponse'>;

/** Our own responses to failures, as Linkerd words them. */
export class FailureResponses {
  readonly #engine: ResponsesEngine;
  /** The least recently defined first. */
  readonly #byText = new Map<string, DefinedResponse>();

  constructor(engine: ResponsesEngine) {
    this.#engine = engine;
  }

  /** @param where it happened; undefined: the client is not told the cause, as it is none of the mesh */
  get(failure: Failure, where: string | undefined): DefinedResponse {
    const text = where === undefined ? '' : `${where}: ${failure.cause}`;
    const key = `${failure.status} ${failure.grpcStatus} ${failure.closes} ${text}`;
    const known = this.#byText.get(key);
    if (known !== undefined) return known;
    if (this.#byText.size >= maximumFailures) this.#forgetOldest();
    const response = { number: this.#engine.defineResponse(responseTo(failure, text)) };
    this.#byText.set(key, response);
    return response;
  }

  #forgetOldest(): void {
    for (const [key, { number }] of this.#byText) {
      this.#byText.delete(key);
      this.#engine.releaseResponse(number);
      return;
    }
  }
}

function responseTo({ status, grpcStatus, closes }: Failure, text: string): SyntheticResponse {
  return {
    status,
    grpcStatus,
    grpcMessage: text,
    headers: {
      ...(text !== '' && { 'l5d-proxy-error': text }),
      ...(closes && { connection: 'close', 'l5d-proxy-connection': 'close' }),
    },
  };
}
