import { WeftError } from '../../mesh/errors.ts';
import { version as ownVersion } from '../../mesh/version.ts';
import { versionOf } from '../check/categories/versions.ts';
import type { Facts, Report } from '../cluster/facts.ts';
import { clusterFlags, withFacts } from '../cluster-flags.ts';
import { defineCommand } from '../command.ts';

export const version = defineCommand({
  name: 'version',
  summary: 'Tell the versions of this command and of what runs in the cluster',
  flags: {
    client: { help: 'of this command only' },
    proxy: { help: 'of the agents as well, with how many nodes have each' },
    short: { help: 'numbers only' },
    ...clusterFlags,
  },
  run: async ({ flags, surroundings }) => {
    const { client, proxy, short } = flags;
    const { out, err, signal } = surroundings;
    const write = (title: string, text: string): void => out.write(short ? `${text}\n` : `${title} version: ${text}\n`);
    write('Client', ownVersion);
    if (client) return 0;
    try {
      await withFacts(flags, surroundings, async (facts) => {
        write('Server', await serverVersion(facts, signal));
        if (!proxy) return;
        const { told, silent } = await facts.agents(signal);
        for (const [found, count] of countVersions(told)) write('Agent', short ? found : `${found} (${count} nodes)`);
        if (silent.length > 0) write('Agent', short ? 'unavailable' : `unavailable (${silent.length} nodes)`);
      });
      return 0;
    } catch (error) {
      if (!(error instanceof WeftError)) throw error;
      write('Server', 'unavailable');
      err.write(`weft: ${error.code} ${error.message}. ${error.hint}\n`);
      return 1;
    }
  },
});

/** All that run; more than one while an upgrade is under way. @throws WeftError */
async function serverVersion(facts: Facts, signal: AbortSignal): Promise<string> {
  if ((await facts.deployment(signal)) === undefined)
    throw new WeftError('WEFT-E404', `there is no control plane in the namespace "${facts.namespace}"`);
  const { told, silent } = await facts.controllers(signal);
  const [first] = silent;
  if (told.length === 0)
    throw first?.error ?? new WeftError('WEFT-E404', `no controller runs in the namespace "${facts.namespace}"`);
  return [...countVersions(told).keys()].join(', ');
}

function countVersions(reports: readonly Report[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (const report of reports) {
    const found = versionOf(report) ?? 'unknown';
    counts.set(found, (counts.get(found) ?? 0) + 1);
  }
  return new Map([...counts].sort(([a], [b]) => a.localeCompare(b)));
}
