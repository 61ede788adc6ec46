import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';

import { LabAgent } from '../lab/agent.ts';
import type { CommandResult } from '../lab/command.ts';
import { LabController } from '../lab/controller.ts';
import { Lab } from '../lab/lab.ts';
import type { LabPod } from '../lab/pod.ts';
import { meshPlugin } from './helpers.ts';

const document = readFileSync(new URL('../../docs/wire.md', import.meta.url), 'utf8');
const client = 'web.shop.serviceaccount.identity.weft-system.cluster.local';
const server = 'db.shop.serviceaccount.identity.weft-system.cluster.local';
const port = 8080;

/** Answers every request with the address of its client, as the app sees it. */
const app = `
import http.server
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        body = ("client " + self.client_address[0] + "\\n").encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *rest):
        pass
http.server.ThreadingHTTPServer.daemon_threads = True
listener = http.server.ThreadingHTTPServer(("0.0.0.0", ${port}), Handler)
print("listening", flush=True)
listener.serve_forever()
`;

/** Certificates that are no good, in the folder of the good one. */
const makeStrangers = `
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout stranger.key -subj /CN=stranger \\
  -addext "subjectAltName=DNS:$CLIENT" -days 1 -out stranger.crt &&
printf 'subjectAltName=critical,DNS:%s,DNS:%s\\nextendedKeyUsage=clientAuth\\n' "$CLIENT" "$SERVER" > two-names.ext &&
openssl x509 -req -in client.csr -CA issuer/tls.crt -CAkey issuer/tls.key -set_serial 2 -days 1 -extfile two-names.ext \\
  -out two-names.crt &&
mkdir authority && touch authority/index.txt &&
for dates in "expired 20200101000000Z 20200102000000Z" "early 20480101000000Z 20480102000000Z"; do
  set -- $dates
  printf '[ca]\\ndefault_ca=here\\n[here]\\ndatabase=authority/index.txt\\nnew_certs_dir=authority\\nrand_serial=yes\\ndefault_md=sha256\\npolicy=any\\nunique_subject=no\\n[any]\\ncommonName=optional\\n' > authority/config
  openssl ca -batch -notext -config authority/config -in client.csr -cert issuer/tls.crt -keyfile issuer/tls.key \\
    -startdate "$2" -enddate "$3" -extfile client.ext -subj /CN=client -out "$1.crt" || exit 1
done
`;

/** The shell commands of the document, by what they are an example of. */
function example(name: string): string {
  const [, commands] = new RegExp(`<!-- example: ${name} -->\\n\`\`\`sh\\n(.*?)\`\`\``, 's').exec(document) ?? [];
  assert.ok(commands !== undefined, `docs/wire.md has no example "${name}"`);
  return commands;
}

/** Numbers of the document's table of alerts. */
function alerts(): Map<string, string> {
  const rows = document.matchAll(/^\| `([a-z_]+)` \| (\d+) \|/gm);
  return new Map([...rows].map(([, name = '', number = '']) => [name, number]));
}

describe('peers that are no agents', () => {
  const folder = mkdtempSync(join(tmpdir(), 'weft-peers-'));
  let lab: Lab;
  let db: LabPod;
  let outsider: LabPod;

  before(async () => {
    lab = await Lab.up({
      nodes: ['a', 'b'],
      meshPlugin,
      unmeshedNodes: ['b'],
      namespaces: [{ name: 'shop', labels: { 'weft.dev/mesh': 'enabled' } }, { name: 'outside' }],
    });
    const controller = await LabController.start(lab.node('b'));
    const agent = await LabAgent.start(lab.node('a'), { flags: controller.flagsFor(lab.node('a')) });
    db = await lab.node('a').addPod({ name: 'db', namespace: 'shop', serviceAccount: 'db' });
    outsider = await lab.node('b').addPod({ name: 'outsider', namespace: 'outside' });
    await agent.enrolled('db');
    const { stdout } = db.spawn(['/usr/bin/python3', '-c', app]);
    await new Promise((resolve) => stdout?.once('data', resolve));
    symlinkSync(join(controller.stateDir, 'issuer'), join(folder, 'issuer'));
    await shell(example('certificate'), { succeeds: true });
  });

  after(async () => {
    rmSync(folder, { recursive: true });
    assert.deepEqual(await lab.down(), []);
  });

  /** Runs it in the pod of nobody's mesh, as the document says. */
  async function shell(
    script: string,
    { succeeds, variables = {} }: { succeeds?: boolean; variables?: Record<string, string> } = {},
  ): Promise<CommandResult> {
    const env = { ...process.env, CLIENT: client, SERVER: server, ADDRESS: db.ipv4, PORT: String(port), ...variables };
    const result = await outsider.run(['sh', '-c', `cd "$0" && ${script}`, folder], { env, timeoutMs: 15_000 });
    if (succeeds !== undefined)
      assert.equal(result.code === 0, succeeds, `${script}\n${result.stdout}${result.stderr}`);
    return result;
  }

  /** What the server says to one who knocks with these options. */
  async function refusal(options: string, variables?: Record<string, string>): Promise<string> {
    const target = '-connect "$ADDRESS:$PORT" -CAfile issuer/ca.crt';
    // The alert about a certificate comes with the first read, so it must wait for one.
    const script = `(sleep 1; echo) | openssl s_client ${target} ${options}`;
    const { stdout, stderr } = await shell(script, variables === undefined ? {} : { variables });
    return stdout + stderr;
  }

  test('curl with a certificate of the mesh: the app answers, and sees who asks', async () => {
    const { stdout } = await shell(example('curl'), { succeeds: true });
    assert.equal(stdout, `client ${outsider.ipv4}\n`);
  });

  test('openssl s_client with a certificate of the mesh: the app answers, and sees who asks', async () => {
    const { stdout } = await shell(example('s_client'), { succeeds: true });
    assert.match(stdout, /^HTTP\/1\.1 200 OK\r\n/);
    assert.ok(stdout.endsWith(`client ${outsider.ipv4}\n`), stdout);
  });

  test('without a certificate: the alert, and no answer', async () => {
    const { stdout, stderr } = await shell(example('no certificate'), { succeeds: false });
    assert.equal(stdout, '');
    assert.match(stderr, /alert certificate required/);
  });

  test('without ALPN: the alert', async () => {
    const { stderr } = await shell(example('no protocol'), { succeeds: false });
    assert.match(stderr, /alert no application protocol.*SSL alert number 120/);
  });

  test('every alert of the document', async () => {
    await shell(makeStrangers, { succeeds: true });
    const name = '-servername "$SERVER"';
    const chain = '-cert_chain issuer/tls.crt';
    const good = `-cert client.crt ${chain} -key client.key`;
    const cases: Record<string, string> = {
      unrecognized_name: `-servername "$CLIENT" -alpn http/1.1 ${good}`,
      protocol_version: `${name} -alpn http/1.1 ${good} -tls1_2`,
      handshake_failure: `${name} -alpn http/1.1 ${good} -groups P-384`,
      no_application_protocol: `${name} -alpn h2 ${good}`,
      certificate_required: `${name} -alpn http/1.1`,
      unknown_ca: `${name} -alpn http/1.1 -cert stranger.crt -key stranger.key`,
      certificate_expired: `${name} -alpn http/1.1 -cert expired.crt ${chain} -key client.key`,
      bad_certificate: `${name} -alpn http/1.1 -cert two-names.crt ${chain} -key client.key`,
    };
    const numbers = alerts();
    assert.deepEqual([...numbers.keys()].sort(), Object.keys(cases).sort());
    for (const [alert, options] of Object.entries(cases)) {
      assert.match(await refusal(options), new RegExp(`SSL alert number ${numbers.get(alert)}\\b`), alert);
    }
    const early = `${name} -alpn http/1.1 -cert early.crt ${chain} -key client.key`;
    assert.match(await refusal(early), new RegExp(`SSL alert number ${numbers.get('bad_certificate')}\\b`));
  });

  test('a name that is none of the mesh is the app’s own TLS', async () => {
    // The app speaks no TLS, and says so in its own words.
    assert.match(await refusal('-alpn http/1.1 -servername db.example.org'), /wrong version number|packet length/);
  });
});
