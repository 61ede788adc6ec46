import type { AgentLine } from './agent.ts';
import { LabAgent } from './agent.ts';
import { LabController } from './controller.ts';
import { Lab } from './lab.ts';
import { PacketCapture } from './packet-capture.ts';
import type { LabPod } from './pod.ts';

const tools = new URL('../tools/', import.meta.url).pathname;
const plugin = new URL('../../build/weft-cni', import.meta.url).pathname;
/** The TCP service speaks first, which its namespace says, as with Linkerd. */
const annotations = { 'config.linkerd.io/opaque-ports': '9000' };
const meshed = { name: 'shop', labels: { 'weft.dev/mesh': 'enabled' }, annotations };

const counts = { relayed: 0, refused: 0, bytes: 0 };

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}

function show(node: string, line: AgentLine): void {
  if (line.msg === 'connection') {
    if (line['reason'] === 'tunnel') return; // its streams are the connections
    const { pod, direction, client, destination, peer, decision, reason, bytesToUpstream, bytesToClient } = line;
    if (decision === 'relayed') {
      counts.relayed++;
      counts.bytes += Number(bytesToUpstream) + Number(bytesToClient);
    } else {
      counts.refused++;
      if (String(destination).startsWith('169.254.')) return; // an enrolment proving itself
    }
    // Of the demo's connections those of HTTP alone leave a pod without a peer: each request may go to another.
    const unnamed = direction === 'outbound' ? 'HTTP, each request by itself' : 'plaintext';
    const protection = peer === '' ? unnamed : `mutual TLS with ${shorten(String(peer))}`;
    say(
      `  node ${node}  ${String(pod).padEnd(12)} ${String(direction).padEnd(8)} ${String(client)} -> ${String(destination)}  ` +
        `${decision === 'relayed' ? protection : String(decision)} (${String(reason)})  ${String(bytesToUpstream)} B up, ${String(bytesToClient)} B down`,
    );
  } else if (line.msg.includes('mesh')) {
    const reason = (line['reason'] ?? line['error']) as string | undefined;
    say(
      `  node ${node}  ${String(line['namespace'])}/${String(line['pod'])}: ${line.msg}${reason === undefined ? '' : ` (${reason})`}`,
    );
  }
}

/** The part of an identity that differs within a mesh: SERVICEACCOUNT.NAMESPACE. */
function shorten(identity: string): string {
  return identity.split('.serviceaccount.')[0] ?? identity;
}

function settle(ms = 400): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

async function call(client: LabPod, server: LabPod): Promise<void> {
  const path = 'whoami.py?secret=the-words-of-the-app';
  const url = `http://${server.ipv4}:8080/${path}`;
  const web = await client.run(['curl', '-s', '-m', '5', '-o', '/dev/null', '-w', '%{http_code}', url]);
  say(`$ curl ${url} from ${client.spec.name}: HTTP ${web.stdout}`);
  const tcp = await client.run(['/usr/bin/python3', `${tools}dial.py`, 'plain', server.ipv4, '9000']);
  say(`$ tcp to ${server.ipv4}:9000 from ${client.spec.name}: ${tcp.stdout.trim()}`);
  await settle();
}

/** The same calls, with a look at what crosses the link between the nodes. */
async function callAndListen(client: LabPod, server: LabPod): Promise<void> {
  const capture = await PacketCapture.onDevice(client.node);
  await call(client, server);
  const packets = await capture.stop();
  const inClear = packets.contains('the-words-of-the-app') ? 'are there IN CLEAR' : 'are nowhere to be found';
  say(
    `  tcpdump on the link between the nodes: ${packets.size} bytes, ${packets.clientHellos} TLS handshakes; the app's own words ${inClear}.`,
  );
}

say(
  'A cluster of two nodes, made of network namespaces; pods through the real CNI chain (bridge, host-local, weft-cni).\n',
);
const lab = await Lab.up({
  nodes: ['one', 'two', 'control'],
  meshPlugin: plugin,
  unmeshedNodes: ['control'],
  namespaces: [meshed, { name: 'outside' }],
});
try {
  const controller = await LabController.start(lab.node('control'));
  say('weft-controller is ready: it made a trust anchor and an issuer');
  for (const name of ['one', 'two']) {
    const node = lab.node(name);
    await LabAgent.start(node, {
      flags: ['--log-connections', ...controller.flagsFor(node)],
      onLine: (line) => {
        show(name, line);
      },
    });
    say(`weft-agent is ready on node ${name}`);
  }
  const shop = (name: string) => ({ name, namespace: 'shop', serviceAccount: name });
  const client = await lab.node('one').addPod(shop('client'));
  const server = await lab.node('two').addPod(shop('server'));
  const visitor = await lab.node('one').addPod({ name: 'visitor', namespace: 'outside' });
  server.spawn(['/usr/bin/python3', '-m', 'http.server', '8080', '--directory', tools]).stdout?.resume();
  server.spawn(['/usr/bin/python3', `${tools}whoami.py`, '0.0.0.0', '9000']).stdout?.resume();
  await settle(1000);

  say(
    '\nFrom a meshed pod to a meshed pod of the other node: mutual TLS, and both agents know who is at the other end.',
  );
  await callAndListen(client, server);
  say(
    "\nFrom a pod outside the mesh: plaintext, as nobody there speaks for it. The server sees the client's own address and port.",
  );
  await callAndListen(visitor, server);
  say('\nThe namespace opts out, live: no restart, and the same calls are no business of the agents any more.');
  lab.objects.setNamespace({ name: 'shop', annotations });
  await settle(1500);
  await call(client, server);
  say('\n… and in again.');
  lab.objects.setNamespace(meshed);
  await settle(1500);
  await callAndListen(client, server);

  const metrics = await lab.node('two').run(['curl', '-s', 'http://127.0.0.1:4191/metrics']);
  say('\nWhat the agent of node two counted (curl http://127.0.0.1:4191/metrics):');
  for (const line of metrics.stdout.split('\n')) if (line.startsWith('tcp_open_total')) say(`  ${line}`);
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
