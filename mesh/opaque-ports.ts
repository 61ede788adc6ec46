import type { Annotations, PortRange } from './skips.ts';
import { AnnotationError, parsePorts } from './skips.ts';

const annotation = 'config.linkerd.io/opaque-ports';

/** Protocols in which the server speaks first, as Linkerd lists them. */
export const defaultOpaquePorts: readonly PortRange[] = [25, 587, 3306, 4444, 5432, 6379, 9300, 11211].map((port) => [
  port,
  port,
]);

/** Undefined where nothing is said. A list that cannot be read says nothing: detection is slower, but it works. */
export function parseOpaquePorts(annotations: Annotations): readonly PortRange[] | undefined {
  const list = annotations[annotation];
  if (list === undefined) return undefined;
  try {
    return parsePorts(annotation, list);
  } catch (error) {
    if (error instanceof AnnotationError) return undefined;
    throw error;
  }
}

export function includesPort(ranges: readonly PortRange[], port: number): boolean {
  return ranges.some(([first, last]) => first <= port && port <= last);
}
