import type { Fields } from '../../control-plane/sources/fields.ts';
import { fields, items, texts } from '../../control-plane/sources/fields.ts';
import type { LabPod } from './pod.ts';

const ipv6Policies: readonly unknown[] = ['PreferDualStack', 'RequireDualStack'];

/** What a cluster's API server does: addresses for services that have none, of IPv4 alone unless the service asks for both. */
export function withClusterAddresses(services: readonly Fields[], dualStack: boolean): Fields[] {
  return services.map((service, index) => {
    const spec = fields(service['spec'] ?? {}, 'spec');
    if (spec['clusterIP'] !== undefined || spec['clusterIPs'] !== undefined) return service;
    const clusterIPs = [
      `10.96.0.${index + 1}`,
      ...(dualStack && ipv6Policies.includes(spec['ipFamilyPolicy']) ? [`fd96::${(index + 1).toString(16)}`] : []),
    ];
    return { ...service, spec: { ...spec, clusterIP: clusterIPs[0], clusterIPs } };
  });
}

/** What a cluster's controller of endpoints does: for each service with a selector one slice for each of its families. */
export function endpointSlices(services: readonly Fields[], pods: readonly LabPod[]): Fields[] {
  return services.flatMap((service) => {
    const metadata = fields(service['metadata'], 'metadata');
    const spec = fields(service['spec'] ?? {}, 'spec');
    if (spec['selector'] === undefined) return [];
    const selector = Object.entries(texts(spec['selector'], 'spec.selector'));
    const selected = pods.filter(
      (pod) =>
        pod.spec.namespace === (metadata['namespace'] ?? 'default') &&
        selector.every(([label, value]) => pod.spec.labels?.[label] === value),
    );
    const ports = items(spec['ports'], 'spec.ports').map(({ item }) => ({
      name: item['name'] ?? '',
      protocol: item['protocol'] ?? 'TCP',
      port: targetPort(item, selected),
    }));
    const addresses = Array.isArray(spec['clusterIPs']) ? spec['clusterIPs'] : [spec['clusterIP']];
    const isDual = addresses.some((address) => String(address).includes(':'));
    return (['IPv4', ...(isDual ? ['IPv6'] : [])] as const).map((addressType) => ({
      apiVersion: 'discovery.k8s.io/v1',
      kind: 'EndpointSlice',
      metadata: {
        name: `${String(metadata['name'])}-${addressType.toLowerCase()}`,
        namespace: metadata['namespace'] ?? 'default',
        labels: { 'kubernetes.io/service-name': metadata['name'] },
      },
      addressType,
      ports,
      endpoints: selected
        .filter((pod) => (addressType === 'IPv4' ? pod.ipv4 : pod.ipv6) !== '')
        .map((pod) => ({ addresses: [addressType === 'IPv4' ? pod.ipv4 : pod.ipv6], nodeName: pod.node.name })),
    }));
  });
}

/** A port's name is that of a container port; the first pod tells for all. */
function targetPort(port: Fields, pods: readonly LabPod[]): unknown {
  const target = port['targetPort'] ?? port['port'];
  if (typeof target !== 'string') return target;
  const [pod] = pods;
  const containerPorts = pod?.spec.containers?.flatMap(({ ports = [] }) => ports) ?? [];
  return containerPorts.find(({ name }) => name === target)?.containerPort;
}
