import type { Trouble } from '../../mesh/trouble.ts';

export interface PodTrouble {
  readonly node: string;
  readonly uid: string;
  readonly trouble: Trouble;
}

const maximumMessage = 600;

/** What the agents that are connected have said of their pods. A node's agent says what it likes, of its own node. */
export class Troubles {
  readonly #byNode = new Map<string, Map<string, Trouble>>();

  /** All there is on that node. */
  replace(node: string, troubles: Iterable<readonly [uid: string, trouble: Trouble]>): void {
    this.forget(node);
    for (const [uid, trouble] of troubles) this.set(node, uid, trouble);
  }

  set(node: string, uid: string, told: Trouble | undefined): void {
    const ofNode = this.#byNode.get(node) ?? new Map<string, Trouble>();
    const trouble = told && readable(told);
    if (trouble === undefined) ofNode.delete(uid);
    else ofNode.set(uid, trouble);
    if (ofNode.size === 0) this.#byNode.delete(node);
    else this.#byNode.set(node, ofNode);
  }

  /** Its agent is gone; another one will say it again. */
  forget(node: string): void {
    this.#byNode.delete(node);
  }

  has({ node, uid, trouble }: PodTrouble): boolean {
    return this.#byNode.get(node)?.get(uid)?.code === trouble.code;
  }

  all(): PodTrouble[] {
    return [...this.#byNode].flatMap(([node, ofNode]) => [...ofNode].map(([uid, trouble]) => ({ node, uid, trouble })));
  }
}

/** On one line, of bounded length; undefined where the code is none. */
function readable({ code, message }: Trouble): Trouble | undefined {
  if (!/^WEFT-E\d{3}$/.test(code)) return undefined;
  return { code, message: message.replaceAll(/[\p{Cc}\p{Zl}\p{Zp}]+/gu, ' ').slice(0, maximumMessage) };
}
