/** Objects for tests: whole, with what a test does not care about filled in. */
import type { SourceEndpointSlice, SourceNamespace, SourcePod, SourceService } from './objects.ts';

export function testNamespace(name: string, fields: Partial<SourceNamespace> = {}): SourceNamespace {
  return { name, labels: { 'weft.dev/mesh': 'enabled' }, annotations: {}, ...fields };
}

export function testPod(uid: string, fields: Partial<SourcePod> = {}): SourcePod {
  return {
    uid,
    name: uid,
    namespace: 'shop',
    labels: {},
    annotations: {},
    nodeName: 'n1',
    serviceAccount: 'default',
    owner: undefined,
    hostNetwork: false,
    phase: 'Running',
    containers: [],
    hostPorts: [],
    addresses: [],
    createdAt: 0,
    deleting: false,
    ready: false,
    ...fields,
  };
}

export function testService(name: string, addresses: readonly string[], port = 80): SourceService {
  return {
    namespace: 'shop',
    name,
    annotations: {},
    addresses,
    ports: [{ name: 'http', port, protocol: 'TCP', targetPort: 8080, nodePort: 0, appProtocol: '' }],
    sessionAffinity: false,
    nodeLocal: false,
  };
}

export function testSlice(service: string, addresses: readonly string[], name = `${service}-1`): SourceEndpointSlice {
  return {
    namespace: 'shop',
    name,
    service,
    ports: [{ name: 'http', port: 8080, protocol: 'TCP' }],
    endpoints: addresses.map((address) => ({
      addresses: [address],
      ready: true,
      serving: true,
      terminating: false,
      isPod: false,
      nodeName: 'n1',
      zone: '',
    })),
  };
}
