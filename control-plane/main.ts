import { join } from 'node:path';
import { parseArgs } from 'node:util';

import pino from 'pino';

import { parseNetwork } from '../mesh/address.ts';
import { AdminServer } from '../admin/admin-server.ts';
import { parseDuration } from '../mesh/duration.ts';
import { WeftError } from '../mesh/errors.ts';
import { parseListenAddress } from '../mesh/listen-address.ts';
import type { ControllerStatus } from './controller-metrics.ts';
import { ControllerCounts, createControllerRegistries, reasonsNotReady } from './controller-metrics.ts';
import { Controller } from './controller.ts';
import { IssuerSource } from './identity/issuer-source.ts';
import { TokenAuthority, openTokenKey } from './identity/token-authority.ts';
import type { ServerCertificate } from './server-certificate.ts';
import { issueServerCertificate } from './server-certificate.ts';
import { ManifestSource } from './sources/manifests.ts';

const usage = `Usage: weft-controller --manifests DIR [flags]
       weft-controller token --node NAME [--state-dir DIR] [--life TIME]

  --manifests DIR          folder of Kubernetes objects as YAML
  --state-dir DIR          issuer, trust anchor and the key of tokens (default /var/lib/weft-controller)
  --issuer DIR             folder with tls.crt, tls.key and ca.crt (default: <state-dir>/issuer, made where it is absent)
  --listen HOST:PORT       for agents (default 0.0.0.0:8086)
  --admin HOST:PORT        where /live, /ready and /metrics are served (default 0.0.0.0:9990)
  --own-namespace NAME     the mesh's own, never captured (default weft-system)
  --trust-domain NAME      of the identities (default cluster.local)
  --cluster-networks CIDRS where pods and services are
  --leaf-life TIME         of certificates (default 24h)

weft-controller token prints a token for the agent of a node, to be given by --token-file.
`;
const privateNetworks = '10.0.0.0/8,172.16.0.0/12,192.168.0.0/16,100.64.0.0/10,fc00::/7';
const renewAt = 0.7;
const longestTimerMs = 2 ** 31 - 1;

const { values, positionals } = readArguments();
if (values.help) {
  process.stdout.write(usage);
  process.exit(0);
}
const log = pino({ base: { component: 'controller', pid: process.pid } }, pino.destination({ dest: 2, sync: true }));
const mesh = { controlPlaneNamespace: values['own-namespace'], trustDomain: values['trust-domain'] };
const tokens = new TokenAuthority({
  key: orExit(await openTokenKey(join(values['state-dir'], 'token.key'))),
  namespace: mesh.controlPlaneNamespace,
  serviceAccount: 'weft-agent',
});
if (positionals[0] === 'token') printToken();
else await run();

function printToken(): void {
  const { node, life } = values;
  if (node === undefined) exitWithUsage('--node is required');
  process.stdout.write(`${tokens.issue({ node, pod: `weft-agent-${node}` }, { lifeMs: parseDuration(life) })}\n`);
}

async function run(): Promise<void> {
  const { manifests } = values;
  if (manifests === undefined) exitWithUsage('--manifests is required');
  const leafLifeMs = orUsage(() => parseDuration(values['leaf-life']));
  const listenAddress = orUsage(() => parseListenAddress(values.listen));
  const adminAddress = orUsage(() => parseListenAddress(values.admin));
  const counts = new ControllerCounts();
  const onProblem = (problem: WeftError): void => {
    counts.problem(problem.code);
    log.warn({ code: problem.code, hint: problem.hint }, problem.message);
  };
  const issuer = orExit(
    await IssuerSource.open({
      folder: values.issuer ?? join(values['state-dir'], 'issuer'),
      onRefused: onProblem,
      onChange: (current) => {
        log.info({ anchors: current.anchors.length, until: current.notAfter }, 'issuer or trust anchors replaced');
        renewCertificate();
        controller.issuerChanged();
      },
    }),
  );
  const certificate = (): ServerCertificate | WeftError =>
    issueServerCertificate(mesh, issuer.current, { lifeMs: leafLifeMs, now: Date.now() });
  const renewCertificate = (): void => {
    const renewed = certificate();
    if (renewed instanceof WeftError) onProblem(renewed);
    else controller.setTls(renewed);
  };
  const source = new ManifestSource(manifests);
  const controller = new Controller({
    source,
    mesh,
    clusterNetworks: orUsage(() => values['cluster-networks'].split(',').map((text) => parseNetwork(text.trim()))),
    authenticator: tokens,
    issuer: () => issuer.current,
    leafLifeMs,
    tls: orExit(certificate()),
    count: counts.certificate,
    onProblem,
  });
  let hasStarted = false;
  const status = (): ControllerStatus => ({
    hasStarted,
    workloads: controller.model.size,
    streams: controller.streams,
    issuerNotAfter: issuer.current.notAfter,
  });
  const admin = new AdminServer({
    registries: createControllerRegistries(counts, status),
    reasonsNotReady: () => reasonsNotReady(status()),
    onError: (error) => {
      log.error({ error }, 'the admin server failed');
    },
  });
  await admin.listen(adminAddress.host, adminAddress.port);
  const stop = new AbortController();
  const renewal = setInterval(renewCertificate, Math.min(leafLifeMs * renewAt, longestTimerMs));
  source.onChange(() => {
    for (const problem of source.problems()) onProblem(problem);
  });
  const port = await controller.start(listenAddress.port, listenAddress.host, stop.signal);
  hasStarted = true;
  log.info({ host: listenAddress.host, port }, 'ready');
  const end = (): void => {
    clearInterval(renewal);
    stop.abort();
    void Promise.all([controller.close(), issuer.close(), admin.close()]).then(() => process.exit());
  };
  process.once('SIGTERM', end);
  process.once('SIGINT', end);
}

function readArguments() {
  const text = (fallback: string) => ({ type: 'string' as const, default: fallback });
  const options = {
    help: { type: 'boolean', default: false },
    manifests: { type: 'string' },
    node: { type: 'string' },
    issuer: { type: 'string' },
    life: text('24h'),
    'state-dir': text('/var/lib/weft-controller'),
    listen: text('0.0.0.0:8086'),
    admin: text('0.0.0.0:9990'),
    'own-namespace': text('weft-system'),
    'trust-domain': text('cluster.local'),
    'cluster-networks': text(privateNetworks),
    'leaf-life': text('24h'),
  } as const;
  try {
    return parseArgs({ options, allowPositionals: true, strict: true });
  } catch (error) {
    exitWithUsage(error instanceof Error ? error.message : String(error));
  }
}

function orUsage<Value>(read: () => Value): Value {
  try {
    return read();
  } catch (error) {
    exitWithUsage(error instanceof Error ? error.message : String(error));
  }
}

function exitWithUsage(problem: string): never {
  process.stderr.write(`weft-controller: ${problem}; see --help\n`);
  process.exit(2);
}

function orExit<Value>(value: Value | WeftError): Value {
  if (!(value instanceof WeftError)) return value;
  process.stderr.write(`weft-controller: ${value.code} ${value.message}. ${value.hint}\n`);
  process.exit(1);
}
