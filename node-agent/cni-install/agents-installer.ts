import { join } from 'node:path';

import type { AgentConfig } from '../config.ts';
import type { Logger } from '../log.ts';
import type { NativeAddon } from '../main/native.ts';
import { CniInstaller } from './cni-installer.ts';
import type { ChainEntry } from './network-file.ts';

const pluginBinary = process.env['WEFT_CNI'] ?? new URL('../../build/weft-cni', import.meta.url).pathname;

/** Paths as the container runtime finds them: the agent's are mounted under the same names. */
export function chainEntry(config: Pick<AgentConfig, 'runDir' | 'stateDir' | 'ownNamespace'>): ChainEntry {
  return {
    type: 'weft-cni',
    socket: join(config.runDir, 'cni.sock'),
    namespacesFile: join(config.stateDir, 'namespaces.json'),
    exemptNamespaces: [...new Set(['kube-system', config.ownNamespace])],
  };
}

export function cniInstallerOf(
  config: AgentConfig,
  log: Logger,
  native: Pick<NativeAddon, 'exchangeFiles'>,
): CniInstaller | undefined {
  if (config.cni === undefined) return undefined;
  return new CniInstaller({
    binary: pluginBinary,
    ...config.cni,
    entry: chainEntry(config),
    exchange: (one, other) => {
      native.exchangeFiles(one, other);
    },
    log,
  });
}
