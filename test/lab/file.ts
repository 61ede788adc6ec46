import { LineCounter, parseAllDocuments } from 'yaml';
import type { Document } from 'yaml';

import type { Fields } from '../../control-plane/sources/fields.ts';
import { FieldError, fields, flag, items, port, text, texts } from '../../control-plane/sources/fields.ts';
import { readObject } from '../../control-plane/sources/object-reader.ts';
import type { NamespaceSpec } from './objects.ts';
import type { PodSpec } from './pod.ts';

/** A cluster as a file describes it: a document of kind Lab, and manifests as kubectl takes them. */
export interface LabFile {
  readonly nodes: readonly LabFileNode[];
  readonly dualStack: boolean;
  /** The node that weft-controller runs on; undefined: each agent has one of its own. */
  readonly controller: string | undefined;
  readonly agentFlags: readonly string[];
  readonly namespaces: readonly NamespaceSpec[];
  readonly pods: readonly LabFilePod[];
  readonly services: readonly Fields[];
  /** Of the other kinds that the mesh reads. */
  readonly others: readonly Fields[];
}

export interface LabFileNode {
  readonly name: string;
  readonly agent: boolean;
}

export interface LabFilePod {
  readonly node: string;
  readonly spec: PodSpec;
  /** One for each container that has a command. */
  readonly commands: readonly (readonly string[])[];
}

/** What is wrong with a file, and where: "lab.yaml:7: spec.nodeName …". */
export class LabFileError extends Error {}

interface Content {
  readonly value: Fields;
  /** The error of a check, with the line of the field that it names. */
  readonly locate: (error: unknown) => LabFileError;
}

/** @throws LabFileError */
export function readLabFile(file: string, source: string): LabFile {
  const contents = readContents(file, source);
  const [lab, ...more] = contents.filter(({ value }) => value['kind'] === 'Lab');
  if (lab === undefined) throw new LabFileError(`${file}:1: no document has kind: Lab`);
  for (const other of more) {
    readWith(other, () => {
      throw new FieldError('kind: a second Lab');
    });
  }
  const cluster = readWith(lab, readCluster);
  const ofKind = (...kinds: string[]) => contents.filter(({ value }) => kinds.includes(String(value['kind'])));
  for (const content of contents) readWith(content, checkObject);
  const pods: LabFilePod[] = [];
  for (const content of ofKind('Pod')) pods.push(readWith(content, (pod) => readPod(pod, cluster.nodes, pods)));
  const namespaces = ofKind('Namespace').map((content) => readWith(content, readNamespace));
  const missing = new Set(pods.map(({ spec }) => spec.namespace)).difference(
    new Set(namespaces.map(({ name }) => name)),
  );
  return {
    ...cluster,
    namespaces: [...namespaces, ...[...missing].map((name) => ({ name }))],
    pods,
    services: ofKind('Service').map(({ value }) => value),
    others: ofKind('EndpointSlice', 'ServiceAccount').map(({ value }) => value),
  };
}

function readContents(file: string, source: string): Content[] {
  const lines = new LineCounter();
  const documents = parseAllDocuments(source, { lineCounter: lines });
  const contents: Content[] = [];
  for (const document of 'empty' in documents ? [] : documents) {
    const [syntax] = document.errors;
    const at = (offset: number, message: string): LabFileError =>
      new LabFileError(`${file}:${lines.linePos(offset).line}: ${message}`);
    if (syntax !== undefined) throw at(syntax.pos[0], syntax.message.split('\n')[0] ?? 'not YAML');
    if (document.contents === null) continue;
    const locate = (error: unknown): LabFileError => {
      const message = error instanceof Error ? error.message : String(error);
      return at(offsetOf(document, message), message);
    };
    try {
      contents.push({ value: fields(document.toJS({ maxAliasCount: 100 }), 'the document'), locate });
    } catch (error) {
      throw locate(error);
    }
  }
  return contents;
}

/** Messages begin with the field's path, as "spec.containers[0].name"; the last part of it that is there counts. */
function offsetOf(document: Document.Parsed, message: string): number {
  let offset = document.contents?.range[0] ?? document.range[0];
  const path: (string | number)[] = [];
  for (const [, quoted, index, name] of /^\S+/.exec(message)?.[0].matchAll(/\["(.*?)"\]|\[(\d+)\]|([^.[\]:]+)/g) ??
    []) {
    path.push(quoted ?? name ?? Number(index));
    const node = document.getIn(path, true);
    if (typeof node !== 'object' || node === null || !('range' in node)) break;
    offset = (node.range as [number, number, number])[0];
  }
  return offset;
}

function readWith<Value>(content: Content, read: (value: Fields) => Value): Value {
  try {
    return read(content.value);
  } catch (error) {
    throw content.locate(error);
  }
}

function readCluster(lab: Fields): Pick<LabFile, 'nodes' | 'dualStack' | 'controller' | 'agentFlags'> {
  const known = ['kind', 'nodes', 'dualStack', 'controller', 'agentFlags'];
  for (const name of Object.keys(lab)) {
    if (!known.includes(name)) throw new FieldError(`${name} is no field of a Lab: ${known.join(', ')}`);
  }
  const nodes = items(lab['nodes'], 'nodes').map(({ item, place }) => ({
    name: nameOf(item['name'], `${place}.name`),
    agent: flag(item['agent'] ?? true, `${place}.agent`),
  }));
  if (nodes.length === 0) throw new FieldError('nodes must have at least one');
  for (const [index, { name }] of nodes.entries()) {
    if (nodes.findIndex((other) => other.name === name) !== index)
      throw new FieldError(`nodes[${index}].name: two nodes ${name}`);
  }
  const controller = lab['controller'];
  return {
    nodes,
    dualStack: flag(lab['dualStack'] ?? true, 'dualStack'),
    controller: controller === undefined ? undefined : nodeOf(controller, 'controller', nodes),
    agentFlags: strings(lab['agentFlags'], 'agentFlags'),
  };
}

/** With the rules of agents and controllers; a uid is the lab's to give. */
function checkObject(object: Fields): void {
  if (object['kind'] === 'Lab') return;
  const metadata = fields(object['metadata'], 'metadata');
  nameOf(metadata['name'], 'metadata.name');
  if (readObject({ ...object, metadata: { uid: '', ...metadata } }) === undefined)
    throw new FieldError(`kind: ${String(object['kind'])} means nothing to a lab`);
}

function readNamespace(object: Fields): NamespaceSpec {
  const metadata = fields(object['metadata'], 'metadata');
  return {
    name: text(metadata['name'], 'metadata.name'),
    labels: texts(metadata['labels'], 'metadata.labels'),
    annotations: texts(metadata['annotations'], 'metadata.annotations'),
  };
}

function readPod(object: Fields, nodes: readonly LabFileNode[], others: readonly LabFilePod[]): LabFilePod {
  const metadata = fields(object['metadata'], 'metadata');
  const spec = fields(object['spec'], 'spec');
  const containers = items(spec['containers'], 'spec.containers').map(({ item, place }) => ({
    name: text(item['name'], `${place}.name`),
    ports: items(item['ports'], `${place}.ports`).map((one) => ({
      name: text(one.item['name'] ?? '', `${one.place}.name`),
      containerPort: port(one.item['containerPort'], `${one.place}.containerPort`),
    })),
    command: [...strings(item['command'], `${place}.command`), ...strings(item['args'], `${place}.args`)],
  }));
  if (containers.length === 0) throw new FieldError('spec.containers must have at least one');
  const name = text(metadata['name'], 'metadata.name');
  const node = nodeOf(spec['nodeName'], 'spec.nodeName', nodes);
  if (others.some((other) => other.node === node && other.spec.name === name))
    throw new FieldError(`metadata.name: node ${node} has two pods ${name}`);
  return {
    node,
    spec: {
      name,
      namespace: text(metadata['namespace'] ?? 'default', 'metadata.namespace'),
      labels: texts(metadata['labels'], 'metadata.labels'),
      annotations: texts(metadata['annotations'], 'metadata.annotations'),
      hostNetwork: spec['hostNetwork'] === true,
      serviceAccount: text(spec['serviceAccountName'] ?? 'default', 'spec.serviceAccountName'),
      containers: containers.map(({ name, ports }) => ({ name, ports })),
    },
    commands: containers.map(({ command }) => command).filter((command) => command.length > 0),
  };
}

function nodeOf(value: unknown, where: string, nodes: readonly LabFileNode[]): string {
  const name = text(value, where);
  if (!nodes.some((node) => node.name === name))
    throw new FieldError(`${where}: the lab has no node ${JSON.stringify(name)}`);
  return name;
}

/** Names become parts of the names of network namespaces and files. */
function nameOf(value: unknown, where: string): string {
  const name = text(value, where);
  if (!/^[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?$/.test(name))
    throw new FieldError(`${where}: ${JSON.stringify(name)} is no name: small letters, digits, "-" and "."`);
  return name;
}

function strings(value: unknown, where: string): string[] {
  if (value === undefined) return [];
  if (!Array.isArray(value)) throw new FieldError(`${where} must be a list`);
  return value.map((item, index) => text(item, `${where}[${index}]`));
}
