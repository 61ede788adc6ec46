/**
 * Node's own client: what its kept connections, its held back bodies and its upgrades come to.
 * Arguments: ADDRESS PORT OTHER, where http-server.ts and http-bodies.ts listen. Prints JSON.
 */
import { Agent, get, request } from 'node:http';
import type { IncomingMessage } from 'node:http';

const [host = '', port = '', otherPort = ''] = process.argv.slice(2);
const agent = new Agent({ keepAlive: true, maxSockets: 4 });

async function bodyOf(response: IncomingMessage): Promise<string> {
  let text = '';
  for await (const part of response.setEncoding('utf8')) text += part as string;
  return text;
}

function ask(path: string): Promise<{ reused: boolean; url: string }> {
  return new Promise((resolve, reject) => {
    const asked = get({ host, port, path, agent }, (response) => {
      bodyOf(response).then((text) => {
        resolve({ reused: asked.reusedSocket, url: (JSON.parse(text) as { url: string }).url });
      }, reject);
    }).on('error', reject);
  });
}

/** 400 requests, four at a time. */
async function keptAlive(): Promise<{ right: number; reused: number }> {
  let right = 0;
  let reused = 0;
  const one = async (lane: number): Promise<void> => {
    for (let count = 0; count < 100; count++) {
      const answer = await ask(`/${lane}/${count}`);
      if (answer.url === `/${lane}/${count}`) right++;
      if (answer.reused) reused++;
    }
  };
  await Promise.all([0, 1, 2, 3].map(one));
  return { right, reused };
}

function continued(): Promise<{ told: boolean; body: number }> {
  return new Promise((resolve, reject) => {
    let told = false;
    const headers = { expect: '100-continue', 'content-length': 5000 };
    const asked = request({ host, port, method: 'POST', path: '/', headers, agent }, (response) => {
      bodyOf(response).then((text) => {
        resolve({ told, body: (JSON.parse(text) as { body: number }).body });
      }, reject);
    }).on('error', reject);
    asked.on('continue', () => {
      told = true;
      asked.end('x'.repeat(5000));
    });
    asked.flushHeaders();
  });
}

function trailed(): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const headers = { trailer: 'x-digest', 'transfer-encoding': 'chunked' };
    const asked = request({ host, port: otherPort, method: 'PUT', path: '/', headers, agent }, (response) => {
      bodyOf(response).then((text) => resolve((JSON.parse(text) as { trailers: unknown }).trailers), reject);
    }).on('error', reject);
    asked.write('a body');
    asked.addTrailers({ 'x-digest': 'of a body' });
    asked.end();
  });
}

function upgraded(): Promise<string> {
  return new Promise((resolve, reject) => {
    const headers = { connection: 'Upgrade', upgrade: 'echo' };
    request({ host, port, path: '/', headers, agent: false })
      .on('upgrade', (_response, socket) => {
        let text = '';
        socket.on('data', (part: Buffer) => (text += part.toString()));
        socket.on('end', () => resolve(text));
        socket.end('hello');
      })
      .on('error', reject)
      .end();
  });
}

const told = {
  kept: await keptAlive(),
  continued: await continued(),
  trailers: await trailed(),
  upgraded: await upgraded(),
};
console.log(JSON.stringify(told));
agent.destroy();
