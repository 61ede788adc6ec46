/** What Weft's processes of a cluster have said, kept when the cluster goes: whoever reads of a failed test wants it then. */
import { copyFileSync, existsSync, mkdirSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';

import { clusterFolder } from './layout.ts';

const linesOfEach = 12;
const longestLine = 400;
const warning = 40;

/** Of processes, and of containers, whose lines begin with a time, a stream and a tag. */
const ofWeft = /^(weft-\w+\.log|pods\/weft-system_weft-.+\.log)$/;
const containerPrefix = /^\S+ std(?:out|err) [FP] /;

/** Copies them to where WEFT_E2E_LOGS says. */
export function keepWeftLogs(cluster: string): void {
  const folder = process.env['WEFT_E2E_LOGS'];
  if (folder === undefined || !existsSync(clusterFolder(cluster))) return;
  mkdirSync(folder, { recursive: true });
  for (const machine of readdirSync(clusterFolder(cluster))) {
    const logs = join(clusterFolder(cluster), machine, 'var/log');
    if (!existsSync(logs)) continue;
    for (const file of readdirSync(logs, { recursive: true, encoding: 'utf8' }))
      if (ofWeft.test(file)) copyFileSync(join(logs, file), join(folder, `${machine} ${file.replaceAll('/', ' ')}`));
  }
}

/** The last warnings and errors of each, and what is no log line. */
export function troublesIn(folder: string): string[] {
  if (!existsSync(folder)) return [];
  return readdirSync(folder)
    .sort()
    .flatMap((file) => {
      const lines = readFileSync(join(folder, file), 'utf8').split('\n').filter(Boolean);
      const troubles = lines.map((line) => line.replace(containerPrefix, '')).filter(isTrouble);
      return troubles.length === 0 ? [] : [file, ...troubles.slice(-linesOfEach).map(shown)];
    });
}

function isTrouble(line: string): boolean {
  const level = /^\{"level":(\d+)/.exec(line)?.[1];
  return level === undefined || Number(level) >= warning;
}

function shown(line: string): string {
  return `  ${line.length > longestLine ? `${line.slice(0, longestLine)}…` : line}`;
}
