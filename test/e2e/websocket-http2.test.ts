import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import { endpointSlices } from '../lab/services.ts';
import type { LabPod } from '../lab/pod.ts';
import { answered } from './curl.ts';
import { http2Server, listening } from './helpers.ts';
import { LabMesh } from './mesh.ts';

const tools = new URL('../tools/', import.meta.url).pathname;
const ports = { http1: 8000, http2: 8001, withoutWebSockets: 8002, bodies: 8003 };

/** RFC 8441: an extended CONNECT is one stream of many. */
describe('WebSockets over HTTP/2', () => {
  let mesh: LabMesh;
  let client: LabPod;
  let pods: Readonly<Record<string, LabPod>>;
  /** By place: services of pods whose ports are declared to speak HTTP/1. */
  const services: Record<string, string> = {};

  before(async () => {
    mesh = await LabMesh.up();
    client = await mesh.addMeshed('a', 'client', 'client');
    pods = { 'another node': await addServer('b', 'server'), 'the same node': await addServer('a', 'neighbour') };
    for (const [index, [place, pod]] of Object.entries(pods).entries()) {
      await Promise.all([
        listening(pod, [process.execPath, `${tools}websocket.ts`, 'serve', String(ports.http1)]),
        listening(pod, [process.execPath, `${tools}websocket-http2.ts`, 'serve', String(ports.http2)]),
        listening(pod, [process.execPath, `${tools}http-bodies.ts`, String(ports.bodies)]),
        http2Server(pod, ports.withoutWebSockets),
      ]);
      services[place] = `10.96.0.${30 + index}`;
      declare(pod, services[place]);
      await answered(client, `http://${services[place]}:${ports.bodies}/digest`);
    }
  });

  after(async () => {
    assert.deepEqual(await mesh.lab.down(), []);
  });

  async function addServer(node: string, name: string): Promise<LabPod> {
    const spec = { name, namespace: 'shop', serviceAccount: name, labels: { app: name } };
    const pod = await mesh.lab.node(node).addPod(spec);
    await mesh.agent(node).enrolled(name);
    return pod;
  }

  function declare(pod: LabPod, clusterIP: string): void {
    const { name } = pod.spec;
    const declared = [ports.http1, ports.bodies].map((port) => {
      return { name: `port-${port}`, port, targetPort: port, protocol: 'TCP', appProtocol: 'kubernetes.io/ws' };
    });
    const service = {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name, namespace: 'shop' },
      spec: { clusterIP, clusterIPs: [clusterIP], selector: { app: name }, ports: declared },
    };
    for (const [index, object] of [service, ...endpointSlices([service], [pod])].entries())
      mesh.lab.objects.setObject(`${name}-${index}`, object);
  }

  async function told(how: 'try' | 'ask', address: string, port: number): Promise<unknown> {
    const command = [process.execPath, `${tools}websocket-http2.ts`, how, `http://${address}:${port}`];
    const { stdout, stderr } = await client.run(command, { timeoutMs: 30_000 });
    assert.notEqual(stdout, '', `${stderr}\n${mesh.troubles()}`);
    return JSON.parse(stdout);
  }

  const all = {
    text: 'grüße',
    binary: true,
    frames: [
      [10, 'from the client'],
      [9, 'from the server'],
    ],
    byClient: [[4000, 'enough'], 'end'],
    heard: '4000',
    byServer: [[4001, 'as you wish'], 'end'],
  };

  for (const place of ['another node', 'the same node']) {
    const address = (): string => pods[place]?.ipv4 ?? '';
    const service = (): string => services[place] ?? '';

    test(`a server of HTTP/2: text and bytes, ping and pong, how each side closes: ${place}`, async () => {
      assert.deepEqual(await told('try', address(), ports.http2), all);
    });

    test(`a server of HTTP/1.1, which is declared to be so, is asked for an upgrade: ${place}`, async () => {
      assert.deepEqual(await told('try', service(), ports.http1), all);
    });

    test(`a server that does not speak WebSockets refuses, and other requests of the connection go on: ${place}`, async () => {
      assert.deepEqual(await told('ask', address(), ports.withoutWebSockets), { status: 502, beside: 200 });
      assert.deepEqual(await told('ask', service(), ports.bodies), { status: 502, beside: 200 });
    });
  }
});
