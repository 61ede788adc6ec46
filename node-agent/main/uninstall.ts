import { once } from 'node:events';
import { mkdirSync, readdirSync, rmSync, rmdirSync } from 'node:fs';
import { join } from 'node:path';

import { AdminServer } from '../../admin/admin-server.ts';
import { createExpositions } from '../../admin/exposition.ts';
import { createRegistries } from '../../admin/registries.ts';
import { cniInstallerOf } from '../cni-install/agents-installer.ts';
import type { AgentConfig } from '../config.ts';
import type { Logger } from '../log.ts';
import { joinAgentCgroup, leaveAgentCgroup } from './agent-cgroup.ts';
import { Broker } from './broker.ts';
import type { EnrolledPod } from './enrolled-pods.ts';
import { EnrolledPods } from './enrolled-pods.ts';
import { askToLeave, leaveDeadlineMs } from './hand-over.ts';
import type { NativeAddon } from './native.ts';
import { bpfObjects, brokerPath, podsFile } from './layout.ts';
import { earlierGenerations, retirePredecessor } from './predecessor.ts';
import { sleep } from '../../mesh/sleep.ts';

const pollMs = 200;

/**
 * Takes all of Weft from the node. An agent that runs takes its pods out of the mesh first and finishes what it carries, as peers rely on
 * their capture until they have heard. Then the CNI plugin, so that nothing new comes, and what is left of each pod's capture. Waits for the signal to end then, as a pod of a DaemonSet that ended would be started again.
 */
export async function uninstallNode(config: AgentConfig, log: Logger, native: NativeAddon): Promise<void> {
  let isDone = false;
  const admin = new AdminServer({
    metrics: createExpositions(createRegistries(() => undefined)),
    reasonsNotReady: () => (isDone ? [] : ['Weft is being uninstalled']),
    onError: (error) => {
      log.error({ error }, 'the admin server failed');
    },
  });
  mkdirSync(config.runDir, { recursive: true });
  const letGo = await askToLeave(config.runDir, leaveDeadlineMs + config.stopTimeoutMs);
  await retirePredecessor(config.runDir);
  letGo();
  await admin.listen(config.admin.host, config.admin.port);
  cniInstallerOf(config, log, native)?.uninstall();
  const agentCgroup = joinAgentCgroup(config.agentCgroup);
  const left = new EnrolledPods(podsFile(config.runDir)).readPredecessors();
  // A kernel that refuses the programs has captured no pod, and must not keep Weft on the node.
  if (left.length > 0) releasePods(left, config, agentCgroup, log, native);
  native.uninstallCapture(config.pinDir);
  for (const folder of earlierGenerations(config.runDir)) Broker.drain(brokerPath(folder), 0, native);
  for (const folder of [config.runDir, config.stateDir]) removeFolder(folder);
  isDone = true;
  log.info('Weft is uninstalled from this node');
  const end = new AbortController();
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => end.abort());
  await leaveCgroup(config.agentCgroup, log, end.signal);
  if (!end.signal.aborted) await once(end.signal, 'abort');
  await admin.close();
}

function releasePods(
  pods: readonly EnrolledPod[],
  config: AgentConfig,
  agentCgroup: string,
  log: Logger,
  native: NativeAddon,
): void {
  const { pinDir, cgroup } = config;
  const capture = native.openCapture({ objects: bpfObjects, pinDir, cgroup, agentCgroup });
  for (const pod of pods) {
    try {
      const netns = native.openNetns(pod.netnsPath);
      try {
        if (native.netnsCookie(netns) !== pod.cookie) continue;
        capture.release(netns, pod.id);
        capture.cleanNamespace(netns);
      } finally {
        native.closeDescriptor(netns);
      }
    } catch (error) {
      log.warn({ error, namespace: pod.namespace, pod: pod.name }, 'a pod is gone, or keeps routes of ours');
    }
  }
  capture.close();
}

/** As soon as the agent before has ended, which may be told to only when this one is done. */
async function leaveCgroup(folder: string, log: Logger, end: AbortSignal): Promise<void> {
  for (;;) {
    try {
      return leaveAgentCgroup(folder);
    } catch (error) {
      if (end.aborted)
        return log.warn({ error }, 'the cgroup of agents stays: some of their workers still carry connections');
      await sleep(pollMs, end);
    }
  }
}

function removeFolder(folder: string): void {
  mkdirSync(folder, { recursive: true });
  for (const name of readdirSync(folder)) rmSync(join(folder, name), { recursive: true, force: true });
  try {
    rmdirSync(folder);
  } catch {
    // In a container it is a mount point; empty it stays.
  }
}
