import type { ChildProcess } from 'node:child_process';
import { fork } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { destinationsOf, endpointsPerService } from './directory-plan.ts';
import { cpuSeconds, anonymousBytes } from './processes.ts';
import { Report } from './report.ts';

/** One controller, many agents, a rolling update. The size comes from AGENTS, WORKLOADS, RATE (pods per second) and RUN_SECONDS. */

const plan = {
  agents: setting('AGENTS', 1000),
  workloads: setting('WORKLOADS', 10_000),
  podsPerSecond: setting('RATE', 100),
  seconds: setting('RUN_SECONDS', 20),
};
const agentProcesses = 2;
const deadlineMs = 120_000;
const services = Math.floor(plan.workloads / endpointsPerService);
const changes = Math.min(plan.podsPerSecond * plan.seconds, 65_000);
const figures = new Report('directory');
const folder = mkdtempSync(join(tmpdir(), 'weft-bench-directory-'));
const children: ChildProcess[] = [];
try {
  const controller = start('directory-controller.ts', plan);
  const { port } = await answer<{ port: number }>(controller);
  const pid = controller.pid ?? 0;
  report('empty', 'controller_rss_mb', anonymousBytes([pid]) / 1e6);
  const begun = performance.now();
  const shares = Array.from({ length: agentProcesses }, (_, index) => {
    const first = Math.floor((plan.agents * index) / agentProcesses);
    const count = Math.floor((plan.agents * (index + 1)) / agentProcesses) - first;
    return start('directory-agents.ts', { ...plan, port, folder, first, count });
  });
  await Promise.all(shares.map((share) => answer(share)));
  report('connect-all', 's', (performance.now() - begun) / 1000);
  report('connected', 'controller_rss_mb', anonymousBytes([pid]) / 1e6);
  const idleBefore = cpuSeconds([pid]);
  await pause(2000);
  report('connected', 'controller_cores', (cpuSeconds([pid]) - idleBefore) / 2);

  const cpuBefore = cpuSeconds([pid]);
  const rolling = performance.now();
  controller.send({ changes });
  const { times } = await answer<{ times: number[] }>(controller);
  const took = (performance.now() - rolling) / 1000;
  report('rolling-update', 'controller_cores', (cpuSeconds([pid]) - cpuBefore) / took);
  report('rolling-update', 'pods_per_s', changes / took);
  report('rolling-update', 'controller_rss_mb', anonymousBytes([pid]) / 1e6);
  await pause(2000);
  const seen = await Promise.all(
    shares.map((share) => {
      share.send('tell');
      return answer<{ seen: [number, { last: number; agents: number }][] }>(share).then((told) => new Map(told.seen));
    }),
  );
  const delays: number[] = [];
  const subscribers = countSubscribers();
  let missed = 0;
  for (const [change, time] of times.entries()) {
    const told = seen.map((one) => one.get(change)).filter((one) => one !== undefined);
    const expected = subscribers[(change * 7) % services] ?? 0;
    missed += expected - told.reduce((sum, { agents }) => sum + agents, 0);
    if (told.length > 0) delays.push(Math.max(...told.map(({ last }) => last)) - time);
  }
  delays.sort((a, b) => a - b);
  report('rolling-update', 'last_agent_p50_ms', delays[Math.floor(delays.length * 0.5)] ?? NaN);
  report('rolling-update', 'last_agent_p99_ms', delays[Math.floor(delays.length * 0.99)] ?? NaN);
  report('rolling-update', 'missed', missed);
} finally {
  for (const child of children) child.kill('SIGKILL');
  rmSync(folder, { recursive: true, force: true });
}
figures.print();
process.exit();

function setting(name: string, byDefault: number): number {
  const value = Number(process.env[name] ?? byDefault);
  if (!Number.isInteger(value) || value < 1) throw new Error(`${name} must be a positive number`);
  return value;
}

function start(file: string, argument: object): ChildProcess {
  const child = fork(join(import.meta.dirname, file), [JSON.stringify(argument)]);
  children.push(child);
  return child;
}

function answer<Message>(child: ChildProcess): Promise<Message> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      reject(new Error(`no answer within ${deadlineMs} ms`));
    }, deadlineMs);
    child.once('exit', (code) => {
      reject(new Error(`a process ended with ${String(code)}`));
    });
    child.once('message', (message) => {
      clearTimeout(timer);
      resolve(message as Message);
    });
  });
}

function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

function countSubscribers(): number[] {
  const counts = Array.from({ length: services }, () => 0);
  for (let agent = 0; agent < plan.agents; agent++) {
    for (const service of new Set(destinationsOf(agent, services))) counts[service] = (counts[service] ?? 0) + 1;
  }
  return counts;
}

function report(name: string, measure: string, weft: number): void {
  figures.add({ case: name, measure, weft, peers: {} });
}
