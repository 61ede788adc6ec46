import assert from 'node:assert/strict';
import { test } from 'node:test';

import { parseExposition } from '../../admin/test-exposition.ts';
import { createRegistries } from '../../admin/registries.ts';
import { WeftError } from '../../mesh/errors.ts';
import type { NodeFacts } from './node-facts.ts';
import { addNodeFamilies, kernelFeatures } from './node-facts.ts';

test('each fact is a series, and programs that are gone are told no more', async () => {
  let foreignPrograms: NodeFacts['foreignPrograms'] = [
    { id: 7, name: 'cil_sock4', attachType: 'connect4', cgroup: '/sys/fs/cgroup' },
  ];
  let notMeshable: NodeFacts['notMeshable'] = [
    { uid: 'web', pod: 'shop/web', error: new WeftError('WEFT-E103', 'other programs translate addresses') },
  ];
  const { text } = createRegistries((registry) => {
    addNodeFamilies(registry, () => ({
      features: { btf: true, bpffs: false, cgroup2: true },
      foreignPrograms,
      notMeshable,
    }));
  });
  const samples = async () =>
    parseExposition(await text.metrics(), 'text')
      .samples.filter(({ name }) => /^weft_(?:node|foreign|pod_not)/.test(name))
      .map(({ name, labels, value }) => [name, Object.values(labels).join(), value]);
  const features = [
    ['weft_node_feature', 'btf', 1],
    ['weft_node_feature', 'bpffs', 0],
    ['weft_node_feature', 'cgroup2', 1],
  ];
  assert.deepEqual(await samples(), [
    ...features,
    ['weft_foreign_programs', '', 1],
    ['weft_foreign_program_info', 'cil_sock4,7,connect4,/sys/fs/cgroup', 1],
    ['weft_pod_not_meshable', 'shop,web,WEFT-E103', 1],
  ]);
  foreignPrograms = [];
  notMeshable = [];
  assert.deepEqual(await samples(), [...features, ['weft_foreign_programs', '', 0]]);
});

test('a folder on another file system, or none, has no feature', () => {
  const { bpffs, cgroup2 } = kernelFeatures({ pinDir: '/proc', cgroup: '/not/there' });
  assert.deepEqual({ bpffs, cgroup2 }, { bpffs: false, cgroup2: false });
});
