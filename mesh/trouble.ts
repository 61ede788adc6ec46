/** Why a pod is not in the mesh as it is to be, as the agent of its node found. */
export interface Trouble {
  /** Of mesh/errors.ts, maybe of another version. */
  readonly code: string;
  readonly message: string;
}

export function sameTrouble(a: Trouble | undefined, b: Trouble | undefined): boolean {
  return a?.code === b?.code && a?.message === b?.message;
}
