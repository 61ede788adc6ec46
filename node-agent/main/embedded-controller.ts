import { randomUUID } from 'node:crypto';
import { join } from 'node:path';

import { Controller } from '../../control-plane/controller.ts';
import { IssuerSource } from '../../control-plane/identity/issuer-source.ts';
import { TokenAuthority, newTokenKey } from '../../control-plane/identity/token-authority.ts';
import type { Source } from '../../control-plane/sources/source.ts';
import { WeftError } from '../../mesh/errors.ts';
import type { AgentConfig } from '../config.ts';
import type { ControllerAccess } from './controller-access.ts';

const tokenLifeMs = 600_000;

/** The controller of a mesh of one node, in this process: the same code as weft-controller's, reached the same way over loopback. */
export async function startEmbeddedController(
  config: AgentConfig,
  source: Source,
  onProblem: (problem: WeftError) => void,
  signal: AbortSignal,
): Promise<ControllerAccess> {
  const issuer = await IssuerSource.open({
    folder: join(config.stateDir, 'issuer'),
    onRefused: onProblem,
    onChange: () => {
      controller.issuerChanged();
    },
  });
  if (issuer instanceof WeftError) throw issuer;
  const tokens = new TokenAuthority({
    key: newTokenKey(),
    namespace: config.ownNamespace,
    serviceAccount: 'weft-agent',
  });
  const controller = new Controller({
    source,
    mesh: { controlPlaneNamespace: config.ownNamespace, trustDomain: config.trustDomain },
    clusterNetworks: config.clusterNetworks,
    authenticator: tokens,
    issuer: () => issuer.current,
    leafLifeMs: config.leafLifeMs,
    onProblem,
  });
  const port = await controller.start(0, '127.0.0.1', signal);
  const agent = { node: config.nodeName, pod: randomUUID() };
  return {
    url: `http://127.0.0.1:${port}`,
    token: () => Promise.resolve(tokens.issue(agent, { lifeMs: tokenLifeMs })),
    close: async () => {
      await controller.close();
      await issuer.close();
    },
  };
}
