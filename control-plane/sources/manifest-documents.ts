import { LineCounter, parseAllDocuments } from 'yaml';

import { WeftError } from '../../mesh/errors.ts';
import type { SourceObject } from '../../mesh/objects.ts';
import { FieldError, fields } from './fields.ts';
import { readObject } from './object-reader.ts';
import { messageOf } from '../../mesh/message-of.ts';

export interface ManifestDocuments {
  readonly objects: readonly SourceObject[];
  readonly problems: readonly WeftError[];
}

/** Reads the documents of one file. A bad one is reported with file, line and field; the others count. */
export function readDocuments(file: string, text: string): ManifestDocuments {
  const objects: SourceObject[] = [];
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
      const object = readObject(fields(content, 'the document'));
      if (object !== undefined) objects.push(object);
    } catch (error) {
      const reason = messageOf(error);
      problems.push(new WeftError('WEFT-E108', `${file}:${line}: ${reason}`));
    }
  }
  return { objects, problems };
}
