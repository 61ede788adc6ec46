import { join } from 'node:path';
import { parseArgs } from 'node:util';

import pino from 'pino';

import { parseNetwork } from '../mesh/address.ts';
import { createExpositions } from '../admin/exposition.ts';
import type { AnyRegistry } from '../admin/registries.ts';
import { AdminServer } from '../admin/admin-server.ts';
import { MetricsServer } from '../admin/metrics-server.ts';
import type { Readers } from '../admin/readers.ts';
import { parseDuration } from '../mesh/duration.ts';
import { WeftError } from '../mesh/errors.ts';
import { version } from '../mesh/version.ts';
import { parseListenAddress } from '../mesh/listen-address.ts';
import { clearNodes } from './clear-nodes.ts';
import type { ControllerStatus } from './controller-metrics.ts';
import { ControllerCounts, createControllerRegistries, reasonsNotReady } from './controller-metrics.ts';
import { Controller } from './controller.ts';
import type { Troubles } from './events/troubles.ts';
import type { Authenticator } from './identity/certificate-authority.ts';
import { IssuerSource } from './identity/issuer-source.ts';
import { TokenAuthority, openTokenKey } from './identity/token-authority.ts';
import type { Model } from './model.ts';
import type { ServerCertificate } from './server-certificate.ts';
import { issueServerCertificate } from './server-certificate.ts';
import { ManifestSource } from './sources/manifests.ts';
import type { Source } from './sources/source.ts';
import { messageOf } from '../mesh/message-of.ts';

const usage = `Usage: weft-controller --kubernetes [--kubeconfig FILE] [flags]
       weft-controller --manifests DIR [flags]
       weft-controller token --node NAME [--state-dir DIR] [--life TIME]
       weft-controller clear-nodes --agents JSON [--deadline TIME]

  --kubernetes             objects and the verification of tokens from the API server of the cluster
  --kubeconfig FILE        how to reach it (default: as a pod of the cluster does)
  --manifests DIR          folder of Kubernetes objects as YAML
  --state-dir DIR          issuer, trust anchor and the key of tokens (default /var/lib/weft-controller)
  --issuer DIR             folder with tls.crt, tls.key and ca.crt (default: <state-dir>/issuer, made where it is absent)
  --listen HOST:PORT       for agents (default 0.0.0.0:8086)
  --admin HOST:PORT        where /live and /ready are served, and /metrics and reasons to the loopback (default 0.0.0.0:9990)
  --metrics HOST:PORT      where /metrics is served by HTTPS, to who has a token that the API server lets get it; needs --kubernetes
  --own-namespace NAME     the mesh's own, never captured (default weft-system)
  --trust-domain NAME      of the identities (default cluster.local)
  --cluster-networks CIDRS where pods and services are
  --leaf-life TIME         of certificates (default 24h)
  --version                says which it is

weft-controller token prints a token for the agent of a node, to be given by --token-file.
weft-controller clear-nodes puts the given DaemonSet in the place of the agents' and waits until all of it is ready: the chart's uninstallation.
`;
const privateNetworks = '10.0.0.0/8,172.16.0.0/12,192.168.0.0/16,100.64.0.0/10,fc00::/7';
const renewAt = 0.7;
const longestTimerMs = 2 ** 31 - 1;

const { values, positionals } = readArguments();
if (values.version) {
  process.stdout.write(`weft-controller ${version}\n`);
  process.exit(0);
}
if (values.help) {
  process.stdout.write(usage);
  process.exit(0);
}
const log = pino({ base: { component: 'controller', pid: process.pid } }, pino.destination({ dest: 2, sync: true }));
const mesh = { controlPlaneNamespace: values['own-namespace'], trustDomain: values['trust-domain'] };
const agents = { namespace: mesh.controlPlaneNamespace, serviceAccount: 'weft-agent' };
if (positionals[0] === 'token') await printToken();
else if (positionals[0] === 'clear-nodes') await clear();
else await run();

async function openTokens(): Promise<TokenAuthority> {
  return new TokenAuthority({ key: orExit(await openTokenKey(join(values['state-dir'], 'token.key'))), ...agents });
}

async function printToken(): Promise<void> {
  const { node, life } = values;
  if (node === undefined) exitWithUsage('--node is required');
  const tokens = await openTokens();
  process.stdout.write(`${tokens.issue({ node, pod: `weft-agent-${node}` }, { lifeMs: parseDuration(life) })}\n`);
}

async function clear(): Promise<void> {
  const { agents: manifest, kubeconfig, deadline } = values;
  if (manifest === undefined) exitWithUsage('--agents is required');
  const { ApiClient } = await import('./sources/kubernetes/api-client.ts');
  const { loadApiAccess } = await import('./sources/kubernetes/api-config.ts');
  const client = new ApiClient(orUsage(() => loadApiAccess(kubeconfig)));
  const problem = await clearNodes({
    client,
    agents: orUsage(() => JSON.parse(manifest) as unknown),
    deadlineMs: orUsage(() => parseDuration(deadline)),
  });
  await client.close();
  orExit(problem);
  log.info('agents have taken Weft from all nodes');
}

interface Surroundings {
  readonly source: Source;
  readonly authenticator: Authenticator;
  readonly readers?: Readers;
  readonly registerMetrics?: (registry: AnyRegistry) => void;
  readonly troubles?: Troubles;
  /** Until the signal; resolves once another replica may take over. */
  readonly write?: (model: Model, signal: AbortSignal) => Promise<void>;
  readonly close?: () => Promise<void>;
}

async function openSurroundings(onProblem: (problem: WeftError) => void): Promise<Surroundings> {
  const { manifests, kubernetes, kubeconfig } = values;
  if (kubernetes === (manifests !== undefined)) exitWithUsage('either --kubernetes or --manifests is required');
  if (manifests === undefined) {
    // The client library takes 70 MB, so only where it is used.
    const { openCluster } = await import('./cluster.ts');
    const { registerSourceMetrics } = await import('./sources/kubernetes/source-metrics.ts');
    const { registerLeadershipMetrics } = await import('./leadership/leadership-metrics.ts');
    const cluster = orUsage(() => openCluster({ kubeconfig, onProblem, log, ...agents }));
    const registerMetrics = (registry: AnyRegistry): void => {
      registerSourceMetrics(registry, cluster.source.reflectors);
      registerLeadershipMetrics(registry, () => cluster.isLeader);
    };
    return { ...cluster, registerMetrics };
  }
  if (kubeconfig !== undefined) exitWithUsage('--kubeconfig goes with --kubernetes');
  if (values.metrics !== undefined)
    exitWithUsage('--metrics goes with --kubernetes: without an API server nobody can say who may read them');
  const source = new ManifestSource(manifests);
  source.onChange(() => source.problems().forEach(onProblem));
  return { source, authenticator: await openTokens() };
}

async function run(): Promise<void> {
  const leafLifeMs = orUsage(() => parseDuration(values['leaf-life']));
  const listenAddress = orUsage(() => parseListenAddress(values.listen));
  const adminAddress = orUsage(() => parseListenAddress(values.admin));
  const { metrics: metricsText } = values;
  const metricsAddress = metricsText === undefined ? undefined : orUsage(() => parseListenAddress(metricsText));
  const counts = new ControllerCounts();
  const onProblem = (problem: WeftError): void => {
    counts.problem(problem.code);
    log.warn({ code: problem.code, hint: problem.hint }, problem.message);
  };
  const { source, authenticator, readers, registerMetrics, troubles, write, close } = await openSurroundings(onProblem);
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
    else for (const server of [controller, metricsServer]) server?.setTls(renewed);
  };
  let metricsServer: MetricsServer | undefined;
  const tls = orExit(certificate());
  const controller = new Controller({
    source,
    mesh,
    clusterNetworks: orUsage(() => values['cluster-networks'].split(',').map((text) => parseNetwork(text.trim()))),
    authenticator,
    issuer: () => issuer.current,
    leafLifeMs,
    tls,
    ...(troubles && { troubles }),
    ...(readers && { readers }),
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
  const metrics = createExpositions(createControllerRegistries(counts, status, registerMetrics));
  const onError = (error: unknown): void => {
    log.error({ error }, 'the admin server failed');
  };
  const admin = new AdminServer({ metrics, reasonsNotReady: () => reasonsNotReady(status()), onError });
  await admin.listen(adminAddress.host, adminAddress.port);
  if (metricsAddress !== undefined && readers !== undefined) {
    metricsServer = new MetricsServer({ metrics, readers, onProblem, onError });
    metricsServer.setTls(tls);
    await metricsServer.listen(metricsAddress.host, metricsAddress.port);
  }
  const stop = new AbortController();
  const renewal = setInterval(renewCertificate, Math.min(leafLifeMs * renewAt, longestTimerMs));
  const port = await controller.start(listenAddress.port, listenAddress.host, stop.signal);
  hasStarted = true;
  log.info({ host: listenAddress.host, port }, 'ready');
  const written = write?.(controller.model, stop.signal);
  const end = (): void => {
    clearInterval(renewal);
    stop.abort();
    const surroundings = Promise.resolve(written).then(close);
    const servers = [controller, issuer, admin, metricsServer].map((server) => server?.close());
    void Promise.all([...servers, surroundings]).then(() => process.exit());
  };
  process.once('SIGTERM', end);
  process.once('SIGINT', end);
}

function readArguments() {
  const text = (fallback: string) => ({ type: 'string' as const, default: fallback });
  const options = {
    help: { type: 'boolean', default: false },
    version: { type: 'boolean', default: false },
    kubernetes: { type: 'boolean', default: false },
    kubeconfig: { type: 'string' },
    manifests: { type: 'string' },
    node: { type: 'string' },
    issuer: { type: 'string' },
    agents: { type: 'string' },
    deadline: text('2m'),
    life: text('24h'),
    'state-dir': text('/var/lib/weft-controller'),
    listen: text('0.0.0.0:8086'),
    admin: text('0.0.0.0:9990'),
    metrics: { type: 'string' },
    'own-namespace': text('weft-system'),
    'trust-domain': text('cluster.local'),
    'cluster-networks': text(privateNetworks),
    'leaf-life': text('24h'),
  } as const;
  try {
    return parseArgs({ options, allowPositionals: true, strict: true });
  } catch (error) {
    exitWithUsage(messageOf(error));
  }
}

function orUsage<Value>(read: () => Value): Value {
  try {
    return read();
  } catch (error) {
    exitWithUsage(messageOf(error));
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
