import { hintOf } from '../../mesh/errors.ts';
import type { Trouble } from '../../mesh/trouble.ts';
import { microTime } from '../leadership/lease.ts';

export interface PodReference {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
}

/** Of pods that are in the mesh. */
const reasons: Readonly<Record<string, string>> = {
  'WEFT-E107': 'MeshAnnotationUnreadable',
  'WEFT-E111': 'MeshCaptureDamaged',
};

/** Bytes of a note, and characters of reportingInstance and of a name, as the API server takes them. */
const maximumNote = 1024;
const maximumInstance = 128;
const maximumPodName = 230;

/** An Event of events.k8s.io/v1, as `kubectl describe pod` shows it. */
export function podEvent(
  pod: PodReference,
  trouble: Trouble,
  place: { instance: string; suffix: string; now: number },
) {
  const { namespace, name, uid } = pod;
  return {
    apiVersion: 'events.k8s.io/v1',
    kind: 'Event',
    metadata: { namespace, name: `${name.slice(0, maximumPodName)}.${place.suffix}` },
    type: 'Warning',
    reason: reasons[trouble.code] ?? 'NotInMesh',
    action: 'Enrol',
    note: noteOf(trouble),
    eventTime: microTime(place.now),
    regarding: { apiVersion: 'v1', kind: 'Pod', namespace, name, uid },
    reportingController: 'weft.dev/controller',
    reportingInstance: place.instance.slice(0, maximumInstance),
  };
}

function noteOf({ code, message }: Trouble): string {
  const note = Buffer.from(`${code} ${message}. ${hintOf(code) ?? ''}`.trimEnd());
  if (note.length <= maximumNote) return note.toString();
  return note.subarray(0, maximumNote).toString().replace(/�+$/, ''); // half a character
}
