import { loadNativeAddon } from '../main/native.ts';
import { chainEntry } from './agents-installer.ts';
import type { CniInstallerOptions } from './cni-installer.ts';
import { CniInstaller } from './cni-installer.ts';
import type { ExchangeFiles } from './shared-folder.ts';

const native = loadNativeAddon();

export const exchangeFiles: ExchangeFiles = (one, other) => {
  native.exchangeFiles(one, other);
};
export const plugin = new URL('../../build/weft-cni', import.meta.url).pathname;
export const entry = chainEntry({ runDir: '/run/weft', stateDir: '/var/lib/weft', ownNamespace: 'weft-system' });

/** Of what the build made, where the options say nothing else. Silent without a log. */
export function testInstaller(
  options: Pick<CniInstallerOptions, 'binDir' | 'confDir'> & Partial<CniInstallerOptions>,
): CniInstaller {
  const log = { debug() {}, info() {}, warn() {}, error() {} } as never;
  return new CniInstaller({ binary: plugin, entry, exchange: exchangeFiles, log, ...options });
}
