import type {
  HostPort,
  SourceEndpoint,
  SourceEndpointSlice,
  SourceNamespace,
  SourceNode,
  SourceObject,
  SourcePod,
  SourceService,
  SourceServiceAccount,
} from '../../mesh/objects.ts';
import { ownerOf } from '../../mesh/owner.ts';
import type { Fields } from './fields.ts';
import { address, fields, FieldError, flag, items, list, optionalPort, port, text, texts, time } from './fields.ts';

/** Undefined of a kind that the mesh does not read. @throws FieldError that names the field */
export function readObject(object: Fields): SourceObject | undefined {
  switch (object['kind']) {
    case 'Namespace':
      return { kind: 'Namespace', value: readNamespace(object) };
    case 'Pod':
      return { kind: 'Pod', value: readPod(object) };
    case 'Service':
      return { kind: 'Service', value: readService(object) };
    case 'EndpointSlice':
      return { kind: 'EndpointSlice', value: readEndpointSlice(object) };
    case 'ServiceAccount':
      return { kind: 'ServiceAccount', value: readNames(fields(object['metadata'], 'metadata')) };
    case 'Node':
      return { kind: 'Node', value: readNode(object) };
    default:
      return undefined;
  }
}

function readNames(metadata: Fields): SourceServiceAccount {
  return {
    namespace: text(metadata['namespace'] ?? 'default', 'metadata.namespace'),
    name: text(metadata['name'], 'metadata.name'),
  };
}

function readNamespace(object: Fields): SourceNamespace {
  const metadata = fields(object['metadata'], 'metadata');
  return {
    name: text(metadata['name'], 'metadata.name'),
    labels: texts(metadata['labels'], 'metadata.labels'),
    annotations: texts(metadata['annotations'], 'metadata.annotations'),
  };
}

function readNode(object: Fields): SourceNode {
  const metadata = fields(object['metadata'], 'metadata');
  const spec = fields(object['spec'] ?? {}, 'spec');
  const status = fields(object['status'] ?? {}, 'status');
  return {
    name: text(metadata['name'], 'metadata.name'),
    zone: texts(metadata['labels'], 'metadata.labels')['topology.kubernetes.io/zone'] ?? '',
    addresses: items(status['addresses'], 'status.addresses')
      .filter(({ item }) => item['type'] === 'InternalIP')
      .map(({ item, place }) => address(item['address'], `${place}.address`)),
    taints: items(spec['taints'], 'spec.taints').map(({ item, place }) => text(item['key'], `${place}.key`)),
  };
}

function readPod(object: Fields): SourcePod {
  const metadata = fields(object['metadata'], 'metadata');
  const spec = fields(object['spec'] ?? {}, 'spec');
  const status = fields(object['status'] ?? {}, 'status');
  const labels = texts(metadata['labels'], 'metadata.labels');
  const containers = [
    ...items(spec['containers'], 'spec.containers'),
    ...items(spec['initContainers'], 'spec.initContainers'),
  ];
  const hostNetwork = flag(spec['hostNetwork'] ?? false, 'spec.hostNetwork');
  return {
    uid: text(metadata['uid'], 'metadata.uid'),
    ...readNames(metadata),
    labels,
    annotations: texts(metadata['annotations'], 'metadata.annotations'),
    owner: ownerOf(readController(metadata), labels),
    nodeName: text(spec['nodeName'] ?? '', 'spec.nodeName'),
    serviceAccount: text(spec['serviceAccountName'] ?? 'default', 'spec.serviceAccountName'),
    hostNetwork,
    phase: text(status['phase'] ?? 'Pending', 'status.phase'),
    containers: containers.map(({ item, place }) => ({
      name: text(item['name'], `${place}.name`),
      ports: items(item['ports'], `${place}.ports`).map((one) =>
        port(one.item['containerPort'], `${one.place}.containerPort`),
      ),
    })),
    hostPorts: hostNetwork ? [] : containers.flatMap(({ item, place }) => readHostPorts(item, place)),
    addresses: readPodAddresses(status),
    createdAt: time(metadata['creationTimestamp'], 'metadata.creationTimestamp'),
    deleting: time(metadata['deletionTimestamp'], 'metadata.deletionTimestamp') !== 0,
    ready: items(status['conditions'], 'status.conditions').some(
      ({ item }) => item['type'] === 'Ready' && item['status'] === 'True',
    ),
  };
}

function readController(metadata: Fields): { kind: string; name: string } | undefined {
  const references = items(metadata['ownerReferences'], 'metadata.ownerReferences');
  const controller = references.find(({ item, place }) => flag(item['controller'] ?? false, `${place}.controller`));
  if (controller === undefined) return undefined;
  const { item, place } = controller;
  return { kind: text(item['kind'], `${place}.kind`), name: text(item['name'], `${place}.name`) };
}

/** In a pod that uses its node's network they say nothing new. */
function readHostPorts(container: Fields, where: string): HostPort[] {
  return items(container['ports'], `${where}.ports`)
    .map(({ item, place }) => ({
      protocol: item['protocol'] ?? 'TCP',
      port: optionalPort(item['hostPort'], `${place}.hostPort`),
      containerPort: port(item['containerPort'], `${place}.containerPort`),
      address: readHostAddress(item['hostIP'], `${place}.hostIP`),
    }))
    .filter((one) => one.protocol === 'TCP' && one.port !== 0)
    .map(({ port: number, containerPort, address: of }) => ({ port: number, containerPort, address: of }));
}

function readHostAddress(value: unknown, where: string): string {
  if (value === undefined || value === '') return '';
  const read = address(value, where);
  return read === '0.0.0.0' || read === '::' ? '' : read;
}

function readPodAddresses(status: Fields): string[] {
  const many = items(status['podIPs'], 'status.podIPs').map(({ item, place }) => address(item['ip'], `${place}.ip`));
  if (many.length > 0 || status['podIP'] === undefined) return many;
  return [address(status['podIP'], 'status.podIP')];
}

function readService(object: Fields): SourceService {
  const metadata = fields(object['metadata'], 'metadata');
  const spec = fields(object['spec'] ?? {}, 'spec');
  const many = list(spec['clusterIPs'], 'spec.clusterIPs');
  const one = spec['clusterIP'];
  const addresses = many.length > 0 ? many : one === undefined ? [] : [one];
  return {
    ...readNames(metadata),
    annotations: texts(metadata['annotations'], 'metadata.annotations'),
    addresses: addresses
      .filter((value) => value !== 'None' && value !== '')
      .map((value, index) => address(value, `spec.clusterIPs[${index}]`)),
    ports: items(spec['ports'], 'spec.ports').map(({ item, place }) => {
      const number = port(item['port'], `${place}.port`);
      const target = item['targetPort'] ?? number;
      return {
        name: text(item['name'] ?? '', `${place}.name`),
        port: number,
        protocol: text(item['protocol'] ?? 'TCP', `${place}.protocol`),
        targetPort: typeof target === 'string' ? target : port(target, `${place}.targetPort`),
        nodePort: optionalPort(item['nodePort'], `${place}.nodePort`),
        appProtocol: text(item['appProtocol'] ?? '', `${place}.appProtocol`),
      };
    }),
    sessionAffinity: text(spec['sessionAffinity'] ?? 'None', 'spec.sessionAffinity') === 'ClientIP',
    nodeLocal: text(spec['internalTrafficPolicy'] ?? 'Cluster', 'spec.internalTrafficPolicy') === 'Local',
  };
}

function readEndpointSlice(object: Fields): SourceEndpointSlice {
  const metadata = fields(object['metadata'], 'metadata');
  const labels = texts(metadata['labels'], 'metadata.labels');
  const isAddressed = object['addressType'] !== 'FQDN';
  return {
    ...readNames(metadata),
    service: text(labels['kubernetes.io/service-name'], 'metadata.labels["kubernetes.io/service-name"]'),
    // A port without a number stands for all ports, which only hand-made slices have.
    ports: items(object['ports'], 'ports')
      .filter(({ item }) => item['port'] !== undefined && item['port'] !== null)
      .map(({ item, place }) => ({
        name: text(item['name'] ?? '', `${place}.name`),
        port: port(item['port'], `${place}.port`),
        protocol: text(item['protocol'] ?? 'TCP', `${place}.protocol`),
      })),
    endpoints: isAddressed
      ? items(object['endpoints'], 'endpoints').map(({ item, place }) => readEndpoint(item, place))
      : [],
  };
}

/** Conditions that are absent mean ready and serving, as the API says. */
function readEndpoint(endpoint: Fields, where: string): SourceEndpoint {
  const conditions = fields(endpoint['conditions'] ?? {}, `${where}.conditions`);
  const ready = flag(conditions['ready'] ?? true, `${where}.conditions.ready`);
  const addresses = list(endpoint['addresses'], `${where}.addresses`);
  if (addresses.length === 0) throw new FieldError(`${where}.addresses must not be empty`);
  return {
    addresses: addresses.map((value, index) => address(value, `${where}.addresses[${index}]`)),
    ready,
    serving: flag(conditions['serving'] ?? ready, `${where}.conditions.serving`),
    terminating: flag(conditions['terminating'] ?? false, `${where}.conditions.terminating`),
    isPod: fields(endpoint['targetRef'] ?? {}, `${where}.targetRef`)['kind'] === 'Pod',
    nodeName: text(endpoint['nodeName'] ?? '', `${where}.nodeName`),
    zone: text(endpoint['zone'] ?? '', `${where}.zone`),
  };
}
