/**
 * Holds the lab of `up`, in a session of its own, until it is killed; the watchdog takes the lab down then. It runs inside the lab's
 * cgroup, so that a teardown by name finds it and whatever it has started.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { LabAgent } from './agent.ts';
import { LabController } from './controller.ts';
import type { LabFile } from './file.ts';
import { readLabFile } from './file.ts';
import { Lab, startWatchdog } from './lab.ts';
import { labCgroup } from './layout.ts';
import { endpointSlices, withClusterAddresses } from './services.ts';
import { writeState } from './state.ts';

const meshPlugin = new URL('../../build/weft-cni', import.meta.url).pathname;
const keepAliveMs = 60_000;

const [name = '', file = ''] = process.argv.slice(2);

let isUp = false;
process.once('disconnect', () => {
  if (!isUp) process.exit(1); // whoever wanted the lab has gone
});
const watchdog = startWatchdog(name); // before there is anything to take down
if (!process.connected) process.exit(1);
const cgroup = join(labCgroup(name), 'lab');
mkdirSync(cgroup, { recursive: true });
writeFileSync(join(cgroup, 'cgroup.procs'), String(process.pid));
try {
  await up(readLabFile(file, readFileSync(file, 'utf8')));
  isUp = true;
  process.send?.({});
  setInterval(() => undefined, keepAliveMs);
} catch (error) {
  const problem = error instanceof Error ? error.message : String(error);
  process.send?.({ problem }, () => process.exit(1));
}

async function up(wanted: LabFile): Promise<void> {
  const lab = await Lab.up({
    name,
    watchdog,
    nodes: wanted.nodes.map((node) => node.name),
    dualStack: wanted.dualStack,
    meshPlugin,
    unmeshedNodes: wanted.nodes.filter(({ agent }) => !agent).map((node) => node.name),
    namespaces: wanted.namespaces,
  });
  const services = withClusterAddresses(wanted.services, wanted.dualStack);
  for (const [index, object] of [...services, ...wanted.others].entries())
    lab.objects.setObject(`object-${index}`, object);
  const controller =
    wanted.controller === undefined ? undefined : await LabController.start(lab.node(wanted.controller));
  for (const node of wanted.nodes.filter(({ agent }) => agent)) {
    await startAgent(lab, node.name, [...(controller?.flagsFor(lab.node(node.name)) ?? []), ...wanted.agentFlags]);
  }
  for (const { node, spec, commands } of wanted.pods) {
    const pod = await lab.node(node).addPod(spec);
    for (const command of commands) pod.spawn(command).stdout?.pipe(process.stdout, { end: false });
  }
  const pods = lab.nodes.flatMap((node) => node.pods);
  for (const [index, slice] of endpointSlices(services, pods).entries()) lab.objects.setObject(`slice-${index}`, slice);
  writeState(lab);
}

async function startAgent(lab: Lab, node: string, flags: readonly string[]): Promise<void> {
  let started: LabAgent | undefined = undefined;
  started = await LabAgent.start(lab.node(node), {
    flags,
    onLine: (line) => {
      process.stdout.write(`${JSON.stringify({ ...line, node })}\n`);
      if (started !== undefined) started.lines.length = 0; // the log has them
    },
  });
}
