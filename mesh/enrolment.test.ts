import assert from 'node:assert/strict';
import { test } from 'node:test';

import fc from 'fast-check';

import type { NamespaceFacts, PodFacts, UnmeshedReason } from './enrolment.ts';
import { judgeEnrolment } from './enrolment.ts';

const weft = 'weft.dev/mesh';
const linkerd = 'linkerd.io/inject';

function namespace(facts: Partial<NamespaceFacts> = {}): NamespaceFacts {
  return { name: 'shop', labels: {}, annotations: {}, ...facts };
}

function pod(facts: Partial<PodFacts> = {}): PodFacts {
  const containers = [{ name: 'app' }];
  return { namespace: 'shop', labels: {}, annotations: {}, hostNetwork: false, phase: 'Running', containers, ...facts };
}

function verdict(of: NamespaceFacts, about: PodFacts): 'meshed' | UnmeshedReason {
  const judged = judgeEnrolment(of, about, 'weft-system');
  return judged.meshed ? 'meshed' : judged.reason;
}

const optedIn = namespace({ labels: { [weft]: 'enabled' } });

test('a namespace opts in by our label, or by the annotation or label of Linkerd', () => {
  assert.equal(verdict(namespace(), pod()), 'not-opted-in');
  assert.equal(verdict(optedIn, pod()), 'meshed');
  for (const value of ['enabled', 'ingress']) {
    assert.equal(verdict(namespace({ annotations: { [linkerd]: value } }), pod()), 'meshed');
    assert.equal(verdict(namespace({ labels: { [linkerd]: value } }), pod()), 'meshed');
  }
  assert.equal(verdict(namespace({ annotations: { [weft]: 'enabled' } }), pod()), 'not-opted-in');
});

test('a pod beats its namespace', () => {
  assert.equal(verdict(optedIn, pod({ labels: { [weft]: 'disabled' } })), 'opted-out');
  assert.equal(verdict(optedIn, pod({ annotations: { [linkerd]: 'disabled' } })), 'opted-out');
  assert.equal(verdict(namespace(), pod({ labels: { [weft]: 'enabled' } })), 'meshed');
  assert.equal(verdict(namespace(), pod({ annotations: { [linkerd]: 'ingress' } })), 'meshed');
  assert.equal(
    verdict(namespace({ labels: { [weft]: 'disabled' } }), pod({ labels: { [linkerd]: 'enabled' } })),
    'meshed',
  );
});

test("on one object our label beats Linkerd's annotation, and that beats Linkerd's label", () => {
  assert.equal(
    verdict(namespace(), pod({ labels: { [weft]: 'disabled' }, annotations: { [linkerd]: 'enabled' } })),
    'opted-out',
  );
  assert.equal(
    verdict(namespace(), pod({ labels: { [weft]: 'enabled' }, annotations: { [linkerd]: 'disabled' } })),
    'meshed',
  );
  assert.equal(
    verdict(namespace(), pod({ labels: { [linkerd]: 'enabled' }, annotations: { [linkerd]: 'disabled' } })),
    'opted-out',
  );
});

test('an unknown value keeps the pod out and is named', () => {
  for (const facts of [
    { labels: { [weft]: 'Enabled' } },
    { labels: { [weft]: 'ingress' } },
    { annotations: { [linkerd]: 'yes' } },
  ]) {
    assert.equal(verdict(optedIn, pod(facts)), 'unknown-value');
    assert.equal(verdict(namespace(facts), pod()), 'unknown-value');
  }
  const judged = judgeEnrolment(optedIn, pod({ annotations: { [linkerd]: 'yes' } }), 'weft-system');
  assert.match(judged.meshed ? '' : judged.message, /linkerd\.io\/inject of the pod.*"yes"/);
});

test('whatever is asked for, some pods are never meshed', () => {
  const never: [UnmeshedReason, string, Partial<PodFacts>][] = [
    ['excluded-namespace', 'kube-system', {}],
    ['excluded-namespace', 'weft-system', {}],
    ['host-network', 'shop', { hostNetwork: true }],
    ['other-mesh', 'shop', { containers: [{ name: 'app' }, { name: 'linkerd-proxy' }] }],
    ['other-mesh', 'shop', { containers: [{ name: 'istio-proxy' }] }],
    ['terminal', 'shop', { phase: 'Succeeded' }],
    ['terminal', 'shop', { phase: 'Failed' }],
  ];
  const wish = fc.constantFrom(
    {},
    { [weft]: 'enabled' },
    { [weft]: 'disabled' },
    { [linkerd]: 'enabled' },
    { [linkerd]: 'x' },
  );
  fc.assert(
    fc.property(fc.constantFrom(...never), wish, wish, wish, wish, ([reason, name, facts], a, b, c, d) => {
      const of = namespace({ name, labels: a, annotations: b });
      assert.equal(verdict(of, pod({ ...facts, namespace: name, labels: c, annotations: d })), reason);
    }),
  );
});

test('for any objects there is exactly one verdict, and a refusal says why', () => {
  const texts = fc.dictionary(fc.constantFrom(weft, linkerd, 'app'), fc.string());
  fc.assert(
    fc.property(texts, texts, texts, texts, (a, b, c, d) => {
      const judged = judgeEnrolment(
        namespace({ labels: a, annotations: b }),
        pod({ labels: c, annotations: d }),
        'weft-system',
      );
      assert.ok(judged.meshed || judged.message !== '');
    }),
  );
});
