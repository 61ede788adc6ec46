import { WeftError } from '../../mesh/errors.ts';
import type { Facts } from '../cluster/facts.ts';
import type { Pod } from '../cluster/objects.ts';
import { nameOf } from '../cluster/objects.ts';
import { clusterFlags, withFacts } from '../cluster-flags.ts';
import type { Command } from '../command.ts';
import { defineCommand } from '../command.ts';
import { agent, controller } from '../installation.ts';

/** What parts of Weft say of themselves, as they say it. */
export const diagnostics: readonly Command[] = [
  ask({
    name: 'diagnostics controller-metrics',
    summary: 'Print the metrics of the controllers',
    path: '/metrics',
    pods: (facts, signal) => facts.controllerPods(signal),
    port: controller.adminPort,
  }),
  ask({
    name: 'diagnostics agent-metrics',
    summary: 'Print the metrics of the agents, or of those of the nodes that are named',
    path: '/metrics',
    pods: (facts, signal) => facts.agentPods(signal),
    port: agent.adminPort,
    positionals: { usage: '[NODE...]', minimum: 0, maximum: Infinity },
  }),
  ask({
    name: 'diagnostics agent-ready',
    summary: 'Print what the agents lack, or those of the nodes that are named',
    path: '/ready',
    pods: (facts, signal) => facts.agentPods(signal),
    port: agent.adminPort,
    positionals: { usage: '[NODE...]', minimum: 0, maximum: Infinity },
  }),
];

interface Question extends Pick<Command, 'name' | 'summary' | 'positionals'> {
  readonly path: string;
  readonly port: number;
  readonly pods: (facts: Facts, signal: AbortSignal) => Promise<Pod[]>;
}

function ask({ path, port, pods, ...command }: Question): Command {
  return defineCommand({
    ...command,
    flags: clusterFlags,
    run: ({ flags, positionals, surroundings }) =>
      withFacts(flags, surroundings, async (facts) => {
        const { out, err, signal } = surroundings;
        const asked = chosen(await pods(facts, signal), positionals);
        if (asked.length === 0)
          throw new WeftError('WEFT-E404', `none of its pods is in the namespace "${facts.namespace}"`);
        let status = 0;
        for (const pod of asked) {
          try {
            const { text } = await facts.cluster.askPod(pod, port, path, signal);
            out.write(`# POD ${nameOf(pod)} NODE ${pod.spec?.nodeName ?? '?'}\n${text}`);
          } catch (error) {
            if (!(error instanceof WeftError)) throw error;
            err.write(`weft: ${error.code} ${error.message}. ${error.hint}\n`);
            status = 1;
          }
        }
        return status;
      }),
  });
}

/** @throws WeftError E401 that names a node without one */
function chosen(pods: readonly Pod[], nodes: readonly string[]): readonly Pod[] {
  if (nodes.length === 0) return pods;
  return nodes.map((node) => {
    const pod = pods.find(({ spec }) => spec?.nodeName === node);
    if (pod === undefined) throw new WeftError('WEFT-E401', `there is no agent on a node "${node}"`);
    return pod;
  });
}
