import assert from 'node:assert/strict';
import type { ChildProcess } from 'node:child_process';
import { after, before, describe, test } from 'node:test';

import type { LabPod } from '../lab/pod.ts';
import { answered, curl } from './curl.ts';
import { httpServer, listening, waitUntil } from './helpers.ts';
import { LabMesh } from './mesh.ts';

const tools = new URL('../tools/', import.meta.url).pathname;
const ports = { faulty: 8000, bodies: 8001, mortal: 8002, steady: 8003 };

/** What curl says of a body that is not whole. */
const cutShort: readonly number[] = [18, 56];

interface Ended {
  readonly answer: string;
  /** 'end', or Python's name of an error. */
  readonly end: string;
}

/** A client that keeps its connection, and says what each of its requests came to. */
const askTwice = `
import http.client, json, sys
address, port, method, path = sys.argv[1:]
connection = http.client.HTTPConnection(address, int(port), timeout=15)
results = []
for wait in (True, False):
    try:
        connection.request(method, path, body=b"body" if method == "POST" else None)
        response = connection.getresponse()
        results.append([response.status, response.read().decode()])
    except (OSError, http.client.HTTPException) as error:
        results.append([type(error).__name__, ""])
    if wait:
        print("once", flush=True)
        sys.stdin.readline()
print(json.dumps(results))
`;

/** Asks on a kept connection for a while, right after the server may have closed its own. */
const askLate = `
import http.client, json, random, sys, time
connection = http.client.HTTPConnection(sys.argv[1], int(sys.argv[2]), timeout=15)
results = {}
for _ in range(15):
    connection.request("GET", "/close-later")
    response = connection.getresponse()
    response.read()
    results[response.status] = results.get(response.status, 0) + 1
    time.sleep(0.2 + random.uniform(-0.01, 0.01))
print(json.dumps(results))
`;

describe('requests and responses of HTTP/1.1 that do not end well', () => {
  let mesh: LabMesh;
  let client: LabPod;
  let server: LabPod;
  let neighbour: LabPod;

  before(async () => {
    mesh = await LabMesh.up();
    ({ client, neighbour, server } = await mesh.addClientAndServers());
    for (const pod of [neighbour, server]) {
      await faulty(pod, ports.faulty);
      await listening(pod, [process.execPath, `${tools}http-bodies.ts`, String(ports.bodies)]);
      await httpServer(pod, ports.steady);
      await answered(client, `http://${pod.ipv4}:${ports.faulty}/`);
    }
  });

  after(async () => {
    assert.deepEqual(await mesh.lab.down(), []);
  });

  function faulty(pod: LabPod, port: number): Promise<ChildProcess> {
    return listening(pod, ['/usr/bin/python3', `${tools}faulty_server.py`, String(port)]);
  }

  async function raw(pod: LabPod, port: number, how: string, bytes: string): Promise<Ended> {
    const command = ['/usr/bin/python3', `${tools}raw_client.py`, pod.ipv4, String(port), how];
    const { stdout, stderr } = await client.run(command, { input: bytes, timeoutMs: 60_000 });
    assert.notEqual(stdout, '', stderr);
    return JSON.parse(stdout) as Ended;
  }

  /** What the server knows of requests to this path: how each of them ended. */
  async function seen(pod: LabPod, path: string): Promise<string[]> {
    const [answer] = await curl(client, `http://${pod.ipv4}:${ports.faulty}/seen`);
    const all = JSON.parse(answer?.body ?? '') as [path: string, end: string][];
    return all.filter(([of]) => of === path).map(([, end]) => end);
  }

  /** Of a family that counts what clients of node a have asked of this authority. */
  async function counted(family: string, authority: string): Promise<number> {
    const { stdout } = await mesh.lab.node('a').run(['curl', '-s', 'http://127.0.0.1:4191/metrics']);
    const wanted = [`${family}{`, 'direction="outbound"', `authority="${authority}"`];
    const lines = stdout.split('\n').filter((line) => wanted.every((part) => line.includes(part)));
    return lines.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' ') + 1)), 0);
  }

  const places = ['another node', 'the same node'] as const;
  for (const place of places) {
    const pod = (): LabPod => (place === 'another node' ? server : neighbour);
    const url = (port: number, path: string): string => `http://${pod().ipv4}:${port}${path}`;

    test(`a client that has finished its side gets its whole answer: ${place}`, async () => {
      const size = 5_000_000;
      const { answer, end } = await raw(
        pod(),
        ports.bodies,
        'half-close',
        `GET /bytes/${size} HTTP/1.1\r\nHost: here\r\n\r\n`,
      );
      assert.equal(end, 'end');
      assert.equal(answer.length - answer.indexOf('\r\n\r\n') - 4, size);
    });

    test(`a client that goes in the middle of its request takes it along: ${place}`, async () => {
      const before = await seen(pod(), '/take');
      const host = `sends.${pod().spec.name}`;
      const begun = `POST /take HTTP/1.1\r\nHost: ${host}\r\nContent-Length: 100000\r\n\r\n${'x'.repeat(1000)}`;
      for (const how of ['half-close', 'leave']) {
        const { answer } = await raw(pod(), ports.faulty, how, begun);
        assert.equal(answer, '', 'what was not asked to its end is not answered');
      }
      // Of the one that ends at once it may hear nothing.
      const know = async (): Promise<boolean> => (await seen(pod(), '/take')).length > before.length;
      await waitUntil(know, 10_000, 'the server has seen the end');
      const after = (await seen(pod(), '/take')).slice(before.length);
      assert.ok(!after.includes('whole'), String(after));
      await waitUntil(async () => (await counted('request_total', host)) === 2, 10_000, 'both are counted');
      assert.equal(await counted('response_total', host), 0);
    });

    test(`a client that goes in the middle of a response: the server is told: ${place}`, async () => {
      const before = (await seen(pod(), '/slow')).length;
      const host = `receives.${pod().spec.name}`;
      const { end } = await raw(pod(), ports.faulty, '100', `GET /slow HTTP/1.1\r\nHost: ${host}\r\n\r\n`);
      assert.equal(end, 'reset');
      const know = async (): Promise<boolean> => (await seen(pod(), '/slow')).length === before + 1;
      await waitUntil(know, 10_000, 'the server has seen the end');
      assert.match((await seen(pod(), '/slow'))[before] ?? '', /BrokenPipe|ConnectionReset/);
      await waitUntil(async () => (await counted('response_total', host)) === 1, 10_000, 'it is counted');
    });

    test(`a response that breaks off is never taken for a whole one: ${place}`, async () => {
      for (const path of ['/short', '/cut', '/reset']) {
        for (const version of ['--http1.1', '--http1.0']) {
          const command = ['curl', '-s', version, '--max-time', '15', url(ports.faulty, path)];
          const { code, stdout } = await client.run(command);
          assert.ok(cutShort.includes(code), `${path} ${version}: ${code} ${stdout}`);
        }
      }
    });

    test(`an app that is killed cuts its response off, and the one after it serves kept connections: ${place}`, async () => {
      const first = await faulty(pod(), ports.mortal);
      const asking = client.run(['curl', '-s', '--max-time', '30', url(ports.mortal, '/slow')]);
      const asker = client.spawn([
        ...['/usr/bin/python3', '-c', askTwice, pod().ipv4, String(ports.mortal)],
        ...['POST', '/twice'],
      ]);
      const output = outputOf(asker);
      await waitUntil(() => output.text.includes('once'), 15_000, 'the first answer');
      await kill(first);
      assert.ok(cutShort.includes((await asking).code));
      const second = await faulty(pod(), ports.mortal);
      asker.stdin?.end('\n');
      await output.end;
      assert.deepEqual(JSON.parse(output.text.slice(output.text.indexOf('['))), [
        [200, '/twice'],
        [200, '/twice'],
      ]);
      await kill(second);
    });

    test(`a server that closes a kept connection instead of answering: asked again where that is safe, once where not: ${place}`, async () => {
      for (const [method, expected] of [
        ['GET', [200, 200]],
        ['POST', [200, 502]],
      ] as const) {
        const before = (await seen(pod(), `/once/${method}`)).length;
        const asker = client.spawn([
          ...['/usr/bin/python3', '-c', askTwice, pod().ipv4, String(ports.faulty)],
          ...[method, `/once/${method}`],
        ]);
        const output = outputOf(asker);
        asker.stdin?.end('\n');
        await output.end;
        const results = JSON.parse(output.text.slice(output.text.indexOf('['))) as [number, string][];
        assert.deepEqual(
          results.map(([status]) => status),
          expected,
        );
        const times = { GET: 3, POST: 2 }[method];
        assert.equal(
          (await seen(pod(), `/once/${method}`)).length - before,
          times,
          `${method}: how often the server was asked`,
        );
      }
    });

    test(`a server that closes kept connections as they are used: no GET fails: ${place}`, async () => {
      const command = ['/usr/bin/python3', '-c', askLate, pod().ipv4, String(ports.faulty)];
      const { stdout, stderr } = await client.run(command, { timeoutMs: 60_000 });
      assert.deepEqual(JSON.parse(stdout || '{}'), { 200: 15 }, stderr);
    });
  }

  for (const node of ['a', 'b']) {
    test(`workers of node ${node} are killed under load: what breaks are requests under way, and only these`, async () => {
      const connections = 16;
      let kills = 0;
      const killer = setInterval(() => {
        const workers = mesh.lab.node(node).workerPids();
        const [victim] = workers;
        if (victim === undefined || workers.length < 2) return;
        process.kill(victim, 'SIGKILL');
        kills++;
      }, 1500);
      const target = `http://${server.ipv4}:${ports.steady}/`;
      const load = ['wrk', '-t', '1', '-c', String(connections), '-d', '5s', '--timeout', '10s', target];
      const { stdout, stderr } = await client.run(load, { timeoutMs: 60_000 });
      clearInterval(killer);
      assert.ok(kills >= 1, 'nothing was killed');
      assert.ok(Number(/(\d+) requests in/.exec(stdout)?.[1]) > 100, stdout + stderr);
      const { connect = 0, read = 0, write = 0, timeout = 0 } = socketErrors(stdout);
      const bad = Number(/Non-2xx or 3xx responses: (\d+)/.exec(stdout)?.[1] ?? 0);
      assert.deepEqual([connect, timeout], [0, 0], stdout);
      assert.ok(read + write + bad <= kills * connections * 2, `${kills} kills: ${stdout}`);
      await waitUntil(() => mesh.lab.node(node).workerPids().length === 2, 15_000, 'two workers again');
      const works = async (): Promise<boolean> => (await curl(client, target))[0]?.status === 200;
      await waitUntil(works, 15_000, 'a request after it');
    });
  }
});

async function kill(child: ChildProcess): Promise<void> {
  const closed = new Promise((resolve) => child.once('close', resolve));
  child.kill('SIGKILL');
  await closed;
}

function outputOf(child: ChildProcess): { text: string; end: Promise<unknown> } {
  const output = { text: '', end: new Promise((resolve) => child.once('close', resolve)) };
  child.stdout?.on('data', (part: Buffer) => (output.text += part.toString()));
  return output;
}

function socketErrors(text: string): Partial<Record<string, number>> {
  const [, counts = ''] = /Socket errors: (.*)/.exec(text) ?? [];
  const pairs = [...counts.matchAll(/(\w+) (\d+)/g)].map(([, kind = '', count]) => [kind, Number(count)] as const);
  return Object.fromEntries(pairs);
}
