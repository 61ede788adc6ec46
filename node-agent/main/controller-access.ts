import { ManifestSource } from '../../control-plane/sources/manifests.ts';
import type { WeftError } from '../../mesh/errors.ts';
import type { AgentConfig } from '../config.ts';
import type { Logger } from '../log.ts';
import { readToken } from './directory/controller.ts';
import { startEmbeddedController } from './embedded-controller.ts';

/** Where the controller is, and how this agent proves which node's it is. */
export interface ControllerAccess {
  readonly url: string;
  readonly token: () => Promise<string>;
  readonly close: () => Promise<void>;
}

/** To the cluster's controller, or to one of this process where the objects are manifests in a folder. */
export function openControllerAccess(
  config: AgentConfig,
  log: Pick<Logger, 'error'>,
  onProblem: (problem: WeftError) => void,
  signal: AbortSignal,
): Promise<ControllerAccess> {
  const { objects, tokenFile } = config;
  if ('controller' in objects) {
    const token = (): Promise<string> => readToken(tokenFile ?? '');
    return Promise.resolve({ url: objects.controller, token, close: () => Promise.resolve() });
  }
  const source = new ManifestSource(objects.manifests);
  source.onChange(() => {
    for (const { code, hint, message } of source.problems()) log.error({ code, hint }, message);
  });
  return startEmbeddedController(config, source, onProblem, signal);
}
