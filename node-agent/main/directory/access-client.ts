import type { Client, Transport } from '@connectrpc/connect';
import { createClient } from '@connectrpc/connect';

import { Access } from '../../../control-plane/gen/weft/v1/access_pb.ts';
import { WeftError, isErrorCode } from '../../../mesh/errors.ts';
import { fromRpcError } from './controller.ts';

/** Asks the controller who may read metrics, as agents may ask the API server for nothing. */
export class AccessClient {
  readonly #client: Client<typeof Access>;
  readonly #token: () => Promise<string>;

  /** @param token the agent's own */
  constructor(transport: Transport, token: () => Promise<string>) {
    this.#client = createClient(Access, transport);
    this.#token = token;
  }

  readonly reviewReader = async (token: string, signal: AbortSignal): Promise<WeftError | undefined> => {
    try {
      const headers = { authorization: `Bearer ${await this.#token()}` };
      const { refusal, reason } = await this.#client.reviewReader({ token }, { headers, signal });
      if (refusal === '') return undefined;
      return new WeftError(isErrorCode(refusal) ? refusal : 'WEFT-E303', reason);
    } catch (error) {
      return fromRpcError(error);
    }
  };
}
