/**
 * What the charts make, and what they refuse. Needs Helm, which `make cluster` builds.
 */
/* eslint-disable @typescript-eslint/no-explicit-any, @typescript-eslint/no-unsafe-argument, @typescript-eslint/no-unsafe-assignment,
   @typescript-eslint/no-unsafe-call, @typescript-eslint/no-unsafe-member-access, @typescript-eslint/no-unsafe-return --
   objects of eleven kinds are looked at, and types of them would only repeat the assertions */
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';

import { parse, parseAllDocuments } from 'yaml';

import { readIssuer } from '../../control-plane/identity/issuer.ts';
import { createAuthority } from '../../control-plane/identity/new-authority.ts';
import { WeftError } from '../../mesh/errors.ts';
import { startupTaint } from '../../mesh/startup-taint.ts';
import { parseConfig } from '../../node-agent/config.ts';

const charts = new URL('.', import.meta.url).pathname;
const helm = findHelm();

/** As deep as a test looks; a wrong guess fails the test. */
type KubeObject = any;

/** Of the cluster of `make cluster`, where it has been built, or of the machine. */
function findHelm(): string {
  const cache = process.env['WEFT_CLUSTER_CACHE'] ?? join(homedir(), '.cache', 'weft');
  try {
    const folder = readdirSync(cache).find((name) => name.startsWith('helm-'));
    if (folder !== undefined) return join(cache, folder, 'helm');
  } catch {
    // No cluster has been built here.
  }
  return process.env['WEFT_HELM'] ?? 'helm';
}

function template(chart: string, ...args: string[]): { readonly objects: KubeObject[]; readonly error: string } {
  const { stdout, stderr, status, error } = spawnSync(
    helm,
    ['template', 'weft', join(charts, chart), '--namespace', 'mesh', ...args],
    { encoding: 'utf8', timeout: 60_000 },
  );
  if (error) throw error;
  if (status !== 0) return { objects: [], error: stderr };
  const objects = parseAllDocuments(stdout).flatMap((document) => document.toJS() ?? []);
  return { objects, error: '' };
}

function render(...args: string[]): KubeObject[] {
  const { objects, error } = template('weft', ...args);
  assert.equal(error, '');
  return objects;
}

function find(objects: KubeObject[], kind: string, name: string): KubeObject {
  const found = objects.filter((object) => object.kind === kind && object.metadata.name === name);
  assert.equal(found.length, 1, `${kind} ${name}`);
  return found[0];
}

function decode(secret: KubeObject, key: string): string {
  return Buffer.from(secret.data[key], 'base64').toString();
}

/** Values as a file, for texts of several lines. */
function withValues(values: object, use: (file: string) => void): void {
  const folder = mkdtempSync(join(tmpdir(), 'weft-values-'));
  try {
    const file = join(folder, 'values.json');
    writeFileSync(file, JSON.stringify(values));
    use(file);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

describe('charts', () => {
  test('helm lint finds nothing, with the defaults and with high availability', () => {
    for (const args of [['weft'], ['weft-crds'], ['weft', '--values', join(charts, 'weft/values-ha.yaml')]]) {
      const [chart = '', ...more] = args;
      const said = execFileSync(helm, ['lint', '--strict', join(charts, chart), ...more], { encoding: 'utf8' });
      assert.match(said, /1 chart\(s\) linted, 0 chart\(s\) failed/);
    }
  });

  test('the schema and the values name the same, and every value is described', () => {
    const text = readFileSync(join(charts, 'weft/values.yaml'), 'utf8');
    const schema = JSON.parse(readFileSync(join(charts, 'weft/values.schema.json'), 'utf8'));
    const compare = (values: KubeObject, described: KubeObject, path: string): void => {
      const names = Object.keys(described.properties).filter((name) => name !== 'global');
      assert.deepEqual(Object.keys(values).sort(), names.sort(), path);
      assert.equal(described.additionalProperties, false, path);
      for (const name of names)
        if (described.properties[name].properties) compare(values[name], described.properties[name], `${path}.${name}`);
    };
    compare(parse(text), schema, 'values');
  });

  test('what the schema refuses is named', () => {
    const refusals: [string, RegExp][] = [
      ['controler.replicas=3', /controler/],
      ['controller.replicas=0', /replicas/],
      ['controller.replicas=three', /replicas/],
      ['controller.antiAffinity=hard', /antiAffinity/],
      ['image.digest=sha256:abc', /digest/],
      ['image.pullPolicy=Sometimes', /pullPolicy/],
      ['node.cniConfDir=etc/cni', /cniConfDir/],
      ['node.kubeletCgroup=/system.slice', /kubeletCgroup/],
      ['agent.workers=65', /workers/],
      ['agent.workrs=5', /workrs/],
      ['agent.sameNode=never', /sameNode/],
      ['agent.metrics=4192', /metrics/],
      ['agent.terminationGracePeriodSeconds=5', /terminationGracePeriodSeconds/],
      ['identity.leafLife=1day', /leafLife/],
      ['identity.issuer.tls.crtPEM=abc', /crtPEM/],
      ['identity.externalIssuer=perhaps', /externalIssuer/],
      ['clusterNetworks={10.0.0.0}', /clusterNetworks/],
      ['trustDomain=Cluster_Local', /trustDomain/],
      ['networkPolicies.apiServerPorts={0}', /apiServerPorts/],
      ['uninstall=1', /uninstall/],
    ];
    for (const [value, message] of refusals) {
      const { error } = template('weft', '--set', value);
      assert.match(error, /schema/, value);
      assert.match(error, message);
    }
    assert.match(template('weft-crds', '--set', 'except={A b}').error, /except/);
  });

  test('every object is labelled, and those of a namespace are in that of the release', () => {
    const objects = render(
      '--values',
      join(charts, 'weft/values-ha.yaml'),
      '--set',
      'networkPolicies.restrictEgress=true',
    );
    assert.deepEqual(objects.map(({ kind }) => kind as string).sort(), [
      'ClusterRole',
      'ClusterRoleBinding',
      'ConfigMap',
      'DaemonSet',
      'Deployment',
      'Lease',
      'NetworkPolicy',
      'PodDisruptionBudget',
      'Role',
      'RoleBinding',
      'Secret',
      'Service',
      'ServiceAccount',
      'ServiceAccount',
      'ValidatingAdmissionPolicy',
      'ValidatingAdmissionPolicyBinding',
    ]);
    for (const { kind, metadata } of objects) {
      assert.equal(metadata.labels['app.kubernetes.io/part-of'], 'weft', kind);
      if (!/^(?:Cluster|Validating)/.test(kind)) assert.equal(metadata.namespace, 'mesh', kind);
    }
  });

  test('an image is named by its digest, else by its tag, else by the version', () => {
    const images = (...args: string[]): Set<string> =>
      new Set(
        render(...args).flatMap(
          ({ spec }) => spec?.template?.spec.containers.map(({ image }: KubeObject) => image) ?? [],
        ),
      );
    const { version } = parse(readFileSync(join(charts, 'weft/Chart.yaml'), 'utf8')) as { version: string };
    const digest = `sha256:${'0123456789abcdef'.repeat(4)}`;
    assert.deepEqual(images(), new Set([`localhost/weft:${version}`]));
    assert.deepEqual(images('--set', 'image.tag=x'), new Set(['localhost/weft:x']));
    assert.deepEqual(
      images('--set', `image.repository=r.example:5000/weft,image.tag=x,image.digest=${digest}`),
      new Set([`r.example:5000/weft@${digest}`]),
    );
  });

  test('charts, programs and package are of one version', () => {
    const { version } = JSON.parse(readFileSync(join(charts, '../../package.json'), 'utf8')) as { version: string };
    for (const chart of ['weft', 'weft-crds']) {
      const metadata = parse(readFileSync(join(charts, chart, 'Chart.yaml'), 'utf8')) as Record<string, string>;
      assert.deepEqual([metadata['version'], metadata['appVersion']], [version, version]);
    }
  });
});

describe('the agent', () => {
  const spec = (...args: string[]): KubeObject => find(render(...args), 'DaemonSet', 'weft-agent').spec.template.spec;

  test('has no rights in the cluster, and a token that is good for the controller alone', () => {
    const objects = render();
    const pod = spec();
    assert.equal(pod.serviceAccountName, 'weft-agent');
    assert.equal(pod.automountServiceAccountToken, false);
    assert.equal(find(objects, 'ServiceAccount', 'weft-agent').automountServiceAccountToken, false);
    const bound = objects.flatMap(({ subjects }) => subjects ?? []).map(({ name }: KubeObject) => name as string);
    assert.deepEqual(bound, ['weft-controller', 'weft-controller']);
    const tokens = pod.volumes.flatMap(({ projected }: KubeObject) => projected?.sources ?? []);
    assert.deepEqual(tokens, [
      { serviceAccountToken: { audience: 'weft.dev', expirationSeconds: 3600, path: 'token' } },
    ]);
    assert.ok(
      !pod.volumes.some(({ secret }: KubeObject) => secret !== undefined),
      'a node reads the Secrets of its pods',
    );
  });

  test('runs with named capabilities, a root that is read-only, and above all other pods of the node', () => {
    const pod = spec();
    const [{ securityContext }] = pod.containers;
    assert.deepEqual(securityContext.capabilities, {
      drop: ['ALL'],
      add: ['SYS_ADMIN', 'NET_ADMIN', 'SETUID', 'SETGID', 'SETPCAP', 'KILL'],
    });
    assert.equal(securityContext.privileged, false);
    assert.equal(securityContext.readOnlyRootFilesystem, true);
    assert.deepEqual(pod.securityContext.seccompProfile, { type: 'RuntimeDefault' });
    assert.equal(pod.priorityClassName, 'system-node-critical');
    assert.equal(pod.hostNetwork, true);
    assert.equal(pod.dnsPolicy, 'ClusterFirstWithHostNet');
    assert.equal(pod.hostPID, undefined);
    assert.deepEqual(pod.tolerations, [{ operator: 'Exists' }], 'the taint of new nodes is among them');
  });

  test('is probed, and no file that it is told of is outside of what is mounted', () => {
    const pod = spec('--set', 'node.kubeletCgroup=system.slice/kubelet.service,agent.workers=3');
    const [container] = pod.containers;
    for (const probe of ['startupProbe', 'livenessProbe', 'readinessProbe'])
      assert.match(container[probe].httpGet.path, /^\/(live|ready)$/);
    const config = parseConfig(container.args as string[], { WEFT_NODE_NAME: 'n1' });
    assert.equal(config.workers, 3);
    const mounts = container.volumeMounts.map(({ mountPath }: KubeObject) => mountPath as string);
    const paths = [
      config.runDir,
      config.stateDir,
      config.pinDir,
      config.netnsDir,
      config.cgroup,
      config.agentCgroup,
      config.kubeletCgroup,
      config.controllerCa,
      config.tokenFile,
      config.cni?.confDir,
      config.cni?.binDir,
    ];
    for (const path of paths)
      assert.ok(
        mounts.some((mount: string) => path === mount || path?.startsWith(`${mount}/`)),
        String(path),
      );
    const volumes = new Set(pod.volumes.map(({ name }: KubeObject) => name as string));
    assert.deepEqual(new Set(container.volumeMounts.map(({ name }: KubeObject) => name as string)), volumes);
  });

  test('is asked on the loopback without a token; elsewhere it tells metrics alone, to who has one, or nothing', () => {
    const [container] = spec().containers;
    const config = parseConfig(container.args as string[], { WEFT_NODE_NAME: 'n1' });
    assert.deepEqual(
      [config.admin, config.metrics],
      [
        { host: '127.0.0.1', port: 4191 },
        { host: '::', port: 4192 },
      ],
    );
    for (const probe of ['startupProbe', 'livenessProbe', 'readinessProbe']) {
      const { host, port } = container[probe].httpGet;
      assert.deepEqual({ host, port }, config.admin);
    }
    const [silent] = spec('--set', 'agent.metrics=').containers;
    assert.equal(parseConfig(silent.args as string[], { WEFT_NODE_NAME: 'n1' }).metrics, undefined);
  });

  test('has the paths of the host under their own names where the plugin needs them', () => {
    const pod = spec('--set', 'node.cniConfDir=/k3s/net.d,node.cniBinDir=/k3s/bin,node.netnsDir=/var/run/netns');
    const hostPaths = Object.fromEntries(
      pod.volumes.flatMap(({ name, hostPath }: KubeObject) => (hostPath ? [[name, hostPath.path]] : [])),
    ) as Record<string, string>;
    assert.deepEqual(hostPaths, {
      run: '/run/weft',
      state: '/var/lib/weft',
      bpf: '/sys/fs/bpf',
      cgroup: '/sys/fs/cgroup',
      netns: '/var/run/netns',
      'cni-conf': '/k3s/net.d',
      'cni-bin': '/k3s/bin',
    });
    for (const name of ['run', 'state', 'netns'] as const)
      assert.equal(
        pod.containers[0].volumeMounts.find((mount: KubeObject) => mount.name === name).mountPath,
        hostPaths[name],
      );
  });

  test('takes everything from its node when it is told to, on all nodes at once', () => {
    const daemonSet = find(render('--set', 'uninstall=true'), 'DaemonSet', 'weft-agent');
    const [container] = daemonSet.spec.template.spec.containers;
    assert.equal(container.args[0], 'uninstall');
    // Beside the agents that run, whose answers to probes are not taken for its own.
    assert.deepEqual(daemonSet.spec.updateStrategy.rollingUpdate, { maxUnavailable: 0, maxSurge: '100%' });
    assert.ok(container.args.includes('--admin=127.0.0.1:4193'));
    for (const probe of ['startupProbe', 'livenessProbe', 'readinessProbe'])
      assert.equal(container[probe].httpGet.port, 4193);
    assert.notEqual(spec().containers[0].args[0], 'uninstall');
    assert.equal(spec().containers[0].readinessProbe.httpGet.port, 4191);
  });
});

describe('the controller', () => {
  test('runs with no privilege, and with the rights that are explained', () => {
    const objects = render();
    const pod = find(objects, 'Deployment', 'weft-controller').spec.template.spec;
    assert.deepEqual(pod.containers[0].securityContext, {
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ['ALL'] },
    });
    assert.equal(pod.securityContext.runAsNonRoot, true);
    const explained = parseAllDocuments(readFileSync(join(charts, '../rbac/controller.yaml'), 'utf8'));
    const [clusterRole, role, lease, policy, binding] = explained.map((document) => document.toJS());
    assert.deepEqual(find(objects, 'ClusterRole', 'weft-controller').rules, clusterRole.rules);
    assert.deepEqual(find(objects, 'Role', 'weft-controller').rules, role.rules);
    for (const kind of ['ClusterRole', 'Role']) {
      const { roleRef, subjects } = find(objects, `${kind}Binding`, 'weft-controller');
      assert.deepEqual([roleRef.kind, roleRef.name], [kind, 'weft-controller']);
      assert.deepEqual(subjects, [{ kind: 'ServiceAccount', name: 'weft-controller', namespace: 'mesh' }]);
    }
    const policies = find(objects, 'ValidatingAdmissionPolicy', 'weft-controller-nodes').spec;
    assert.deepEqual(policies.validations, policy.spec.validations);
    assert.match(policies.matchConditions[0].expression, /'system:serviceaccount:mesh:weft-controller'$/);
    const bindings = find(objects, 'ValidatingAdmissionPolicyBinding', 'weft-controller-nodes').spec;
    assert.deepEqual(bindings, binding.spec);
    assert.deepEqual(role.rules[0].resourceNames, [lease.metadata.name]);
    assert.equal(find(objects, 'Lease', 'weft-controller').spec, undefined, 'an upgrade must not touch who leads');
  });

  test('starts where no agent is ready yet, besides what else it is told to tolerate', () => {
    const startup = { key: startupTaint, operator: 'Exists' };
    const tolerations = (...args: string[]): KubeObject =>
      find(render(...args), 'Deployment', 'weft-controller').spec.template.spec.tolerations;
    assert.deepEqual(tolerations(), [startup]);
    const more = { key: 'node-role.kubernetes.io/control-plane', operator: 'Exists' };
    assert.deepEqual(tolerations('--set-json', `controller.tolerations=[${JSON.stringify(more)}]`), [more, startup]);
  });

  test('of three replicas each has a node of its own, and one at a time may be missing', () => {
    const objects = render('--values', join(charts, 'weft/values-ha.yaml'));
    const { spec } = find(objects, 'Deployment', 'weft-controller');
    assert.equal(spec.replicas, 3);
    assert.equal(spec.template.spec.affinity.podAntiAffinity.requiredDuringSchedulingIgnoredDuringExecution.length, 1);
    const [zones] = spec.template.spec.affinity.podAntiAffinity.preferredDuringSchedulingIgnoredDuringExecution;
    assert.equal(zones.podAffinityTerm.topologyKey, 'topology.kubernetes.io/zone');
    // A fourth has no node on three, so one has to go first; where there are more nodes the fourth comes first.
    assert.deepEqual(spec.strategy.rollingUpdate, { maxUnavailable: 1, maxSurge: '25%' });
    const budget = find(objects, 'PodDisruptionBudget', 'weft-controller').spec;
    assert.equal(budget.maxUnavailable, 1);
    assert.deepEqual(budget.selector, spec.selector);
    assert.deepEqual(
      find(render(), 'Deployment', 'weft-controller').spec.strategy.rollingUpdate,
      { maxUnavailable: 0, maxSurge: 1 },
      'of one replica the next one is there first',
    );
    assert.ok(!render().some(({ kind }) => kind === 'PodDisruptionBudget'), 'one replica could never be drained');
  });

  test('NetworkPolicies let agents in, and readers of metrics, and nobody else', () => {
    const { spec } = find(render(), 'NetworkPolicy', 'weft-controller');
    assert.deepEqual(spec.policyTypes, ['Ingress']);
    assert.deepEqual(
      spec.ingress.map(({ ports }: KubeObject) => ports[0].port as string),
      ['grpc', 'metrics'],
    );
    assert.ok(!JSON.stringify(spec.ingress[1].from).includes('podSelector'), 'the probes of kubelets need no rule');
    const strict = find(
      render('--set', 'networkPolicies.restrictEgress=true,networkPolicies.apiServerPorts={6443}'),
      'NetworkPolicy',
      'weft-controller',
    ).spec;
    assert.deepEqual(strict.policyTypes, ['Ingress', 'Egress']);
    assert.deepEqual(
      strict.egress[0].ports.map(({ port }: KubeObject) => port as number),
      [53, 53, 6443],
    );
    assert.ok(!render('--set', 'networkPolicies.enabled=false').some(({ kind }) => kind === 'NetworkPolicy'));
  });
});

describe('the scrape configuration of docs/metrics.md', () => {
  const [scrape, role] = [
    ...readFileSync(join(charts, '../../docs/metrics.md'), 'utf8').matchAll(/^```yaml\n([^]*?)^```$/gm),
  ].map(([, text = '']): KubeObject => parse(text));
  const objects = render();
  const jobOf = (name: string): KubeObject =>
    scrape.scrape_configs.find(({ job_name }: KubeObject) => job_name === name);

  test('finds agents and controllers where the chart puts them, and knows them by their names', () => {
    const agents = find(objects, 'DaemonSet', 'weft-agent');
    const controllers = find(objects, 'Deployment', 'weft-controller');
    for (const [job, { metadata, spec }] of [
      [jobOf('weft-agents'), agents],
      [jobOf('weft-controller'), controllers],
    ]) {
      const [discovery] = job.kubernetes_sd_configs;
      const labels = Object.entries(spec.template.metadata.labels as Record<string, string>);
      assert.ok(labels.some(([name, value]) => `${name}=${value}` === discovery.selectors[0].label));
      assert.equal(job.scheme, 'https');
      const { serviceAccountName } = spec.template.spec;
      assert.equal(metadata.name, serviceAccountName);
      const name = `${serviceAccountName}.weft-system.serviceaccount.identity.weft-system.cluster.local`;
      assert.equal(job.tls_config.server_name, name);
    }
    const { metrics } = parseConfig(agents.spec.template.spec.containers[0].args as string[], { WEFT_NODE_NAME: 'n' });
    const replaced = jobOf('weft-agents').relabel_configs.map(({ replacement }: KubeObject) => replacement as string);
    assert.deepEqual(replaced.slice(0, 2), [`$1:${metrics?.port}`, `[$1]:${metrics?.port}`]);
    const [kept] = jobOf('weft-controller').relabel_configs;
    const [{ ports }] = controllers.spec.template.spec.containers;
    assert.ok(ports.some(({ name }: KubeObject) => name === kept.regex));
  });

  test('goes with a right to read metrics and no other', () => {
    assert.deepEqual(role.rules, [{ nonResourceURLs: ['/metrics'], verbs: ['get'] }]);
  });
});

describe('the issuer', () => {
  test('is made where none is given: one that the controller takes, whose key agents never see', () => {
    const objects = render('--set', 'identity.issuer.lifeDays=30');
    const secret = find(objects, 'Secret', 'weft-issuer');
    assert.equal(secret.type, 'kubernetes.io/tls');
    const anchors = find(objects, 'ConfigMap', 'weft-trust-anchors').data['ca.crt'] as string;
    const texts = { certificates: decode(secret, 'tls.crt'), key: decode(secret, 'tls.key'), anchors };
    const issuer = readIssuer(texts, Date.now());
    assert.ok(!(issuer instanceof WeftError), issuer instanceof WeftError ? issuer.message : '');
    assert.equal(decode(secret, 'ca.crt'), anchors);
    const days = (new X509Certificate(anchors).validToDate.getTime() - Date.now()) / 86_400_000;
    assert.ok(days > 29 && days <= 30, String(days));
  });

  test('that is given is the one that is used', () => {
    const { anchors, certificates, key } = createAuthority();
    const values = {
      identityTrustAnchorsPEM: anchors,
      identity: { issuer: { tls: { crtPEM: certificates, keyPEM: key } } },
    };
    withValues(values, (file) => {
      const objects = render('--values', file);
      const secret = find(objects, 'Secret', 'weft-issuer');
      assert.deepEqual(
        [decode(secret, 'tls.crt'), decode(secret, 'tls.key'), decode(secret, 'ca.crt')],
        [certificates, key, anchors],
      );
      assert.equal(find(objects, 'ConfigMap', 'weft-trust-anchors').data['ca.crt'], anchors);
    });
    withValues({ identityTrustAnchorsPEM: anchors }, (file) => {
      assert.match(template('weft', '--values', file).error, /belong together/);
    });
  });

  test("that is somebody else's is left alone; its anchors are given, or somebody else's too", () => {
    const { anchors } = createAuthority();
    withValues({ identityTrustAnchorsPEM: anchors, identity: { externalIssuer: true } }, (file) => {
      const objects = render('--values', file);
      assert.ok(!objects.some(({ kind }) => kind === 'Secret'));
      assert.equal(find(objects, 'ConfigMap', 'weft-trust-anchors').data['ca.crt'], anchors);
    });
    const both = render('--set', 'identity.externalIssuer=true,identity.externalCA=true');
    assert.ok(!both.some(({ kind }) => kind === 'Secret' || kind === 'ConfigMap'));
    assert.match(template('weft', '--set', 'identity.externalIssuer=true').error, /externalCA/);
    assert.match(template('weft', '--set', 'identity.externalCA=true').error, /externalIssuer/);
  });
});
