import type { AgentLine } from './agent.ts';
import { LabAgent } from './agent.ts';
import { Lab } from './lab.ts';
import type { LabPod } from './pod.ts';

const tools = new URL('../tools/', import.meta.url).pathname;
const plugin = new URL('../../build/weft-cni', import.meta.url).pathname;

const counts = { relayed: 0, refused: 0, bytes: 0 };

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}

function show(node: string, line: AgentLine): void {
  if (line.msg === 'connection') {
    const { pod, direction, client, destination, decision, reason, bytesToUpstream, bytesToClient } = line;
    if (decision === 'relayed') {
      counts.relayed++;
      counts.bytes += Number(bytesToUpstream) + Number(bytesToClient);
    } else {
      counts.refused++;
      if (String(destination).startsWith('169.254.')) return; // an enrolment proving itself
    }
    say(
      `  node ${node}  ${String(pod).padEnd(12)} ${String(direction).padEnd(8)} ${String(client)} -> ${String(destination)}  ` +
        `${String(decision)} (${String(reason)})  ${String(bytesToUpstream)} B up, ${String(bytesToClient)} B down`,
    );
  } else if (line.msg.includes('mesh')) {
    const reason = (line['reason'] ?? line['error']) as string | undefined;
    say(
      `  node ${node}  ${String(line['namespace'])}/${String(line['pod'])}: ${line.msg}${reason === undefined ? '' : ` (${reason})`}`,
    );
  }
}

function settle(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 400));
}

async function call(client: LabPod, server: LabPod): Promise<void> {
  const web = await client.run([
    'curl',
    '-s',
    '-m',
    '5',
    '-o',
    '/dev/null',
    '-w',
    '%{http_code}',
    `http://${server.ipv4}:8080/`,
  ]);
  say(`$ curl http://${server.ipv4}:8080/ from ${client.spec.name}: HTTP ${web.stdout}`);
  const tcp = await client.run(['/usr/bin/python3', `${tools}dial.py`, 'plain', server.ipv4, '9000']);
  say(`$ tcp to ${server.ipv4}:9000 from ${client.spec.name}: ${tcp.stdout.trim()}`);
  await settle();
}

say(
  'A cluster of two nodes, made of network namespaces; pods through the real CNI chain (bridge, host-local, weft-cni).\n',
);
const lab = await Lab.up({
  nodes: ['one', 'two'],
  meshPlugin: plugin,
  namespaces: [{ name: 'shop', labels: { 'weft.dev/mesh': 'enabled' } }, { name: 'outside' }],
});
try {
  for (const node of lab.nodes) {
    await LabAgent.start(node, {
      flags: ['--log-connections'],
      onLine: (line) => {
        show(node.name, line);
      },
    });
    say(`weft-agent is ready on node ${node.name}`);
  }
  const client = await lab.node('one').addPod({ name: 'client', namespace: 'shop' });
  const server = await lab.node('two').addPod({ name: 'server', namespace: 'shop' });
  const visitor = await lab.node('one').addPod({ name: 'visitor', namespace: 'outside' });
  server.spawn(['/usr/bin/python3', '-m', 'http.server', '8080', '--directory', tools]).stdout?.resume();
  server.spawn(['/usr/bin/python3', `${tools}whoami.py`, '0.0.0.0', '9000']).stdout?.resume();
  await settle();

  say('\nFrom a meshed pod to a meshed pod of the other node: captured on both.');
  await call(client, server);
  say("\nFrom a pod outside the mesh: captured where it arrives. The server sees the client's own address and port.");
  await call(visitor, server);
  say('\nThe namespace opts out, live: no restart, and the same calls are no business of the agent any more.');
  lab.objects.setNamespace({ name: 'shop' });
  await settle();
  await call(client, server);
  say('\n… and in again.');
  lab.objects.setNamespace({ name: 'shop', labels: { 'weft.dev/mesh': 'enabled' } });
  await settle();
  await call(client, server);

  say(
    `\nSummary: ${counts.relayed} connections relayed, ${counts.bytes} bytes; ${counts.refused} refused (the enrolments' own proofs).`,
  );
  if (process.env['STAY'] === '1') {
    say(`\nThe lab stays until Ctrl-C. A shell in a pod: nsenter --net=/run/netns/${client.netns}`);
    await new Promise((resolve) => {
      process.once('SIGINT', resolve);
      process.once('SIGTERM', resolve);
      setInterval(() => undefined, 60_000);
    });
  }
} finally {
  const left = await lab.down();
  if (left.length > 0) {
    say(`could not be taken down: ${left.join(', ')}`);
    process.exitCode = 1;
  }
}
process.exit();
