import { LineCounter, parseAllDocuments } from 'yaml';
import { isIP } from 'node:net';

import { WeftError } from '../../mesh/errors.ts';
import type { SourceNamespace, SourcePod } from './object-source.ts';

export interface ManifestDocuments {
  readonly namespaces: readonly SourceNamespace[];
  readonly pods: readonly SourcePod[];
  readonly problems: readonly WeftError[];
}

type Fields = Readonly<Record<string, unknown>>;

/** Reads the documents of one file. A bad one is reported with file, line and field; the others count. */
export function readDocuments(file: string, text: string): ManifestDocuments {
  const namespaces: SourceNamespace[] = [];
  const pods: SourcePod[] = [];
  const problems: WeftError[] = [];
  const lines = new LineCounter();
  for (const document of parseAllDocuments(text, { lineCounter: lines })) {
    if (!('errors' in document)) break;
    const line = lines.linePos(document.contents?.range[0] ?? document.range[0]).line;
    try {
      const [syntax] = document.errors;
      if (syntax !== undefined) throw new FieldError(syntax.message.split('\n')[0] ?? 'not YAML');
      const content: unknown = document.toJS({ maxAliasCount: 100 });
      if (content === null) continue;
      const object = fields(content, 'the document');
      if (object['kind'] === 'Namespace') namespaces.push(readNamespace(object));
      else if (object['kind'] === 'Pod') pods.push(readPod(object));
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      problems.push(new WeftError('WEFT-E108', `${file}:${line}: ${reason}`));
    }
  }
  return { namespaces, pods, problems };
}

class FieldError extends Error {}

function readNamespace(object: Fields): SourceNamespace {
  const metadata = fields(object['metadata'], 'metadata');
  return {
    name: text(metadata['name'], 'metadata.name'),
    labels: texts(metadata['labels'], 'metadata.labels'),
    annotations: texts(metadata['annotations'], 'metadata.annotations'),
  };
}

function readPod(object: Fields): SourcePod {
  const metadata = fields(object['metadata'], 'metadata');
  const spec = fields(object['spec'] ?? {}, 'spec');
  const status = fields(object['status'] ?? {}, 'status');
  return {
    uid: text(metadata['uid'], 'metadata.uid'),
    name: text(metadata['name'], 'metadata.name'),
    namespace: text(metadata['namespace'] ?? 'default', 'metadata.namespace'),
    labels: texts(metadata['labels'], 'metadata.labels'),
    annotations: texts(metadata['annotations'], 'metadata.annotations'),
    nodeName: text(spec['nodeName'] ?? '', 'spec.nodeName'),
    hostNetwork: flag(spec['hostNetwork'] ?? false, 'spec.hostNetwork'),
    phase: text(status['phase'] ?? 'Pending', 'status.phase'),
    containers: [
      ...list(spec['containers'], 'spec.containers').map((item, index) =>
        readContainer(item, `spec.containers[${index}]`),
      ),
      ...list(spec['initContainers'], 'spec.initContainers').map((item, index) =>
        readContainer(item, `spec.initContainers[${index}]`),
      ),
    ],
    addresses: readAddresses(status),
  };
}

function readContainer(value: unknown, where: string): { name: string; ports: number[] } {
  const container = fields(value, where);
  return {
    name: text(container['name'], `${where}.name`),
    ports: list(container['ports'], `${where}.ports`).map((item, index) => {
      const port = fields(item, `${where}.ports[${index}]`)['containerPort'];
      if (typeof port !== 'number' || !Number.isInteger(port) || port < 1 || port > 65535) {
        throw new FieldError(`${where}.ports[${index}].containerPort must be a port`);
      }
      return port;
    }),
  };
}

function readAddresses(status: Fields): string[] {
  const many = list(status['podIPs'], 'status.podIPs').map(
    (item, index) => fields(item, `status.podIPs[${index}]`)['ip'],
  );
  const all = many.length > 0 ? many : status['podIP'] === undefined ? [] : [status['podIP']];
  return all.map((address) => {
    if (typeof address !== 'string' || isIP(address) === 0)
      throw new FieldError(`status.podIPs: ${JSON.stringify(address)} is not an IP address`);
    return address;
  });
}

function fields(value: unknown, where: string): Fields {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new FieldError(`${where} must be a mapping`);
  return value as Fields;
}

function list(value: unknown, where: string): unknown[] {
  if (value === undefined || value === null) return [];
  if (!Array.isArray(value)) throw new FieldError(`${where} must be a list`);
  return value;
}

function text(value: unknown, where: string): string {
  if (typeof value !== 'string') throw new FieldError(`${where} must be a string`);
  return value;
}

function flag(value: unknown, where: string): boolean {
  if (typeof value !== 'boolean') throw new FieldError(`${where} must be true or false`);
  return value;
}

function texts(value: unknown, where: string): Record<string, string> {
  const entries = Object.entries(fields(value ?? {}, where));
  return Object.fromEntries(entries.map(([key, item]) => [key, text(item, `${where}["${key}"]`)]));
}
