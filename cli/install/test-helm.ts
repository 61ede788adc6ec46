import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';

export interface TestHelm {
  /** WEFT_HELM and WEFT_CHARTS. */
  readonly environment: NodeJS.ProcessEnv;
  readonly folder: string;
  /** What it was called with, one call a line. */
  calls(): string[];
  /** What it says next: in place of manifests. */
  answer(script: string): void;
}

/**
 * A `helm` that notes its arguments and prints, as manifests, a ConfigMap for the release and one for each values file; for CRDs, one
 * of them.
 */
export function testHelm(t: TestContext): TestHelm {
  const folder = mkdtempSync(join(tmpdir(), 'weft-helm-'));
  t.after(() => rmSync(folder, { recursive: true }));
  for (const chart of ['weft', 'weft-crds']) {
    mkdirSync(join(folder, 'charts', chart), { recursive: true });
    writeFileSync(join(folder, 'charts', chart, 'Chart.yaml'), `name: ${chart}\n`);
  }
  writeFileSync(join(folder, 'charts', 'weft', 'values-ha.yaml'), 'controller:\n  replicas: 3\n');
  const helm = join(folder, 'helm');
  const calls = join(folder, 'calls');
  writeFileSync(calls, '');
  const answer = (script: string): void => {
    writeFileSync(helm, `#!/bin/sh\necho "$*" >> ${calls}\n${script}\n`);
    chmodSync(helm, 0o755);
  };
  answer(`
if [ "$2" = weft-crds ]; then
  printf -- '---\\nkind: CustomResourceDefinition\\nmetadata:\\n  name: servers.policy.linkerd.io\\n'
  exit
fi
printf -- '---\\nkind: Deployment\\nmetadata:\\n  name: weft-controller\\n'
while [ $# -gt 0 ]; do
  if [ "$1" = --values ]; then printf -- '---\\nkind: ConfigMap\\nmetadata:\\n  name: values\\ndata:\\n'; sed 's/^/  /' "$2"; fi
  shift
done`);
  return {
    environment: { WEFT_HELM: helm, WEFT_CHARTS: join(folder, 'charts') },
    folder,
    calls: () => readFileSync(calls, 'utf8').split('\n').slice(0, -1),
    answer,
  };
}
