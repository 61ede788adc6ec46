import type { Readable } from 'node:stream';
import { StringDecoder } from 'node:string_decoder';

import type { Fields } from '../fields.ts';
import { fields, text } from '../fields.ts';
import { ApiFailure } from './api-client.ts';

export interface WatchEvent {
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED' | 'BOOKMARK';
  readonly object: Fields;
  readonly revision: string;
}

/** etcd takes 1.5 MiB; as JSON an object can be several times as long. */
const maximumLineLength = 16 * 1024 * 1024;

/**
 * The events of a watch, those of one read together. A last line without its end is half an event and counts for nothing.
 * @throws where the stream breaks, says something that no API server says, or tells of an error
 */
export async function* watchEvents(body: Readable, onBytes: () => void): AsyncGenerator<WatchEvent[]> {
  const decoder = new StringDecoder();
  let rest = '';
  for await (const chunk of body as AsyncIterable<Buffer>) {
    onBytes();
    const lines = decoder.write(chunk).split('\n');
    lines[0] = rest + (lines[0] ?? '');
    rest = lines.pop() ?? '';
    if (rest.length > maximumLineLength) throw new Error(`an event is longer than ${maximumLineLength} characters`);
    const events: WatchEvent[] = [];
    try {
      for (const line of lines) if (line !== '') events.push(readEvent(line));
    } catch (error) {
      if (events.length > 0) yield events;
      throw error;
    }
    if (events.length > 0) yield events;
  }
}

function readEvent(line: string): WatchEvent {
  const event = fields(JSON.parse(line), 'the event');
  const object = fields(event['object'], 'object');
  const { type } = event;
  switch (type) {
    case 'ADDED':
    case 'MODIFIED':
    case 'DELETED':
    case 'BOOKMARK': {
      const metadata = fields(object['metadata'], 'object.metadata');
      return { type, object, revision: text(metadata['resourceVersion'], 'object.metadata.resourceVersion') };
    }
    case 'ERROR':
      throw new ApiFailure(
        Number(object['code'] ?? 500),
        typeof object['message'] === 'string' ? object['message'] : '',
      );
    default:
      throw new Error(`unknown type of event ${JSON.stringify(type)}`);
  }
}
