import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';

import { WeftError } from '../../mesh/errors.ts';
import type { ChartName, ChartRenderer, Choices, Rendering } from './chart.ts';

const renderMs = 60_000;
const carriedCharts = new URL('../../deploy/charts', import.meta.url).pathname;

/**
 * Renders with the `helm` that is installed. A renderer of our own would be a second meaning of the same templates, and Helm itself
 * is larger than all of `weft`.
 */
export class HelmRenderer implements ChartRenderer {
  readonly #helm: string;
  readonly #charts: string;

  constructor(environment: NodeJS.ProcessEnv) {
    this.#helm = environment['WEFT_HELM'] ?? 'helm';
    this.#charts = environment['WEFT_CHARTS'] ?? carriedCharts;
  }

  async render({ chart, namespace, choices }: Rendering, signal: AbortSignal): Promise<string> {
    const folder = this.#folderOf(chart);
    return withFiles(choices.values, (files) => {
      const args = ['template', chart, folder, '--namespace', namespace, ...argumentsOf(choices, files)];
      return this.#run(args, AbortSignal.any([signal, AbortSignal.timeout(renderMs)]));
    });
  }

  carriedValues(chart: ChartName, file: string): string {
    const path = join(this.#folderOf(chart), file);
    try {
      return readFileSync(path, 'utf8');
    } catch (error) {
      throw new WeftError('WEFT-E406', `the chart has no ${file}`, { cause: error });
    }
  }

  #folderOf(chart: ChartName): string {
    const folder = join(this.#charts, chart);
    if (existsSync(join(folder, 'Chart.yaml'))) return folder;
    throw new WeftError('WEFT-E406', `there is no chart at ${folder}`);
  }

  async #run(args: readonly string[], signal: AbortSignal): Promise<string> {
    const child = spawn(this.#helm, args, { stdio: ['ignore', 'pipe', 'pipe'], signal });
    const ended = Promise.withResolvers<number | null>();
    child.on('error', ended.reject);
    child.on('close', ended.resolve);
    try {
      const [out, err, status] = await Promise.all([buffer(child.stdout), buffer(child.stderr), ended.promise]);
      if (status === 0) return out.toString();
      throw new WeftError('WEFT-E406', `helm template failed: ${err.toString().trim() || `status ${status}`}`);
    } catch (error) {
      if (error instanceof WeftError) throw error;
      throw new WeftError('WEFT-E406', this.#explain(error, signal), { cause: error });
    }
  }

  #explain(error: unknown, signal: AbortSignal): string {
    if (signal.aborted) return `helm template did not end within ${renderMs / 1000} s`;
    const code = (error as NodeJS.ErrnoException).code;
    return code === 'ENOENT' ? `"${this.#helm}" is not there` : `helm cannot be started: ${String(error)}`;
  }
}

function argumentsOf({ set, setString }: Choices, files: readonly string[]): string[] {
  return [
    ...files.flatMap((file) => ['--values', file]),
    ...set.flatMap((assignment) => ['--set', assignment]),
    ...setString.flatMap((assignment) => ['--set-string', assignment]),
  ];
}

/** Values may hold the issuer's key, so nobody else reads the files, and they go at once. */
async function withFiles<Result>(
  texts: readonly string[],
  use: (files: readonly string[]) => Promise<Result>,
): Promise<Result> {
  const folder = mkdtempSync(join(tmpdir(), 'weft-values-')); // 0700
  try {
    const files = texts.map((text, index) => {
      const file = join(folder, `${index}.yaml`);
      writeFileSync(file, text, { mode: 0o600 });
      return file;
    });
    return await use(files);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
