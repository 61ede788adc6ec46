import { Directory } from '../../control-plane/directory/directory.ts';
import { ControlServer } from '../../control-plane/directory/server.ts';
import { Model } from '../../control-plane/model.ts';
import type { Delta } from '../../control-plane/sources/source.ts';
import { parseNetwork } from '../../mesh/address.ts';
import { WeftError } from '../../mesh/errors.ts';
import type { SourceObject } from '../../mesh/objects.ts';
import { testNamespace, testPod, testService, testSlice } from '../../mesh/objects-test.ts';
import type { Plan, Roll } from './directory-plan.ts';
import { changedAddress, endpointsPerService, now, podAddress, serviceAddress } from './directory-plan.ts';

/** The one controller process of the directory's bench. */

const plan = JSON.parse(process.argv[2] ?? '') as Plan;
const model = new Model({
  ownNamespace: 'weft',
  identityOf: ({ serviceAccount, namespace }) =>
    `${serviceAccount}.${namespace}.serviceaccount.identity.weft.cluster.local`,
});
const server = new ControlServer({
  directory: new Directory({ model, clusterNetworks: [parseNetwork('10.0.0.0/8')] }),
  authenticator: { authenticate: (token) => Promise.resolve({ node: token }) },
  certify: () => Promise.resolve(new WeftError('WEFT-E302', 'the bench needs no certificates')),
  onError: (error) => process.stderr.write(`${error.code}: ${error.message}\n`),
});
const services = Math.floor(plan.workloads / endpointsPerService);
const members = Array.from({ length: services }, (_, service) =>
  Array.from({ length: endpointsPerService }, (_unused, index) => {
    const pod = service * endpointsPerService + index;
    return { uid: `u${pod}`, node: `n${pod % plan.agents}`, address: podAddress(pod) };
  }),
);

const podOf = ({ uid, node, address }: { uid: string; node: string; address: string }): SourceObject => ({
  kind: 'Pod',
  value: testPod(uid, { nodeName: node, addresses: [address] }),
});
const sliceOf = (service: number): SourceObject => ({
  kind: 'EndpointSlice',
  value: testSlice(`s${service}`, members[service]?.map(({ address }) => address) ?? []),
});
const upsert = (object: SourceObject): Delta => ({ type: 'upsert', object });

model.apply([
  upsert({ kind: 'Namespace', value: testNamespace('shop') }),
  ...members.flatMap((pods, service) => [
    ...pods.map((pod) => upsert(podOf(pod))),
    upsert({ kind: 'Service', value: testService(`s${service}`, [serviceAddress(service)]) }),
    upsert(sliceOf(service)),
  ]),
]);
process.send?.({ port: await server.listen(0, '127.0.0.1') });

process.on('message', ({ changes }: Roll) => {
  roll(changes).catch((error: unknown) => process.stderr.write(String(error)));
});

/** Pods are replaced one after the other, as a Deployment does it. */
async function roll(changes: number): Promise<void> {
  const times: number[] = [];
  const begun = performance.now();
  for (let change = 0; change < changes; change++) {
    const wait = begun + (change * 1000) / plan.podsPerSecond - performance.now();
    if (wait > 0) await new Promise((resolve) => setTimeout(resolve, wait));
    const service = (change * 7) % services;
    const pods = members[service] ?? [];
    const old = pods.shift();
    if (old === undefined) continue;
    const next = { uid: `r${change}`, node: old.node, address: changedAddress(change) };
    pods.push(next);
    times.push(now());
    model.apply([upsert(podOf(next)), { type: 'delete', object: podOf(old) }, upsert(sliceOf(service))]);
  }
  process.send?.({ times });
}
