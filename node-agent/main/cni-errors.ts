/** Errors of the CNI specification (1.1, section 2, "Errors") and, from 100 on, our own, each with what to look at next. */
const catalogue = {
  incompatibleVersion: {
    code: 1,
    hint: 'weft-cni speaks CNI 0.3.1, 0.4.0, 1.0.0 and 1.1.0; look at cniVersion in the .conflist.',
  },
  unsupportedField: { code: 2, hint: 'Take the field out of the weft-cni entry of the .conflist.' },
  unknownContainer: { code: 3, hint: 'The runtime need not call DEL for this container.' },
  invalidEnvironment: { code: 4, hint: 'The container runtime sets the variables CNI_*; look at its log.' },
  ioFailure: { code: 5, hint: "Look at the weft agent's log on this node." },
  decodingFailure: { code: 6, hint: 'weft-cni and the weft agent of this node may be of different releases.' },
  invalidConfig: { code: 7, hint: 'Look at the plugins before weft-cni in the .conflist in /etc/cni/net.d.' },
  tryAgainLater: { code: 11, hint: "Look at the weft agent's log on this node; the kubelet tries again by itself." },
  notReady: { code: 50, hint: 'Look at the weft-agent pod of this node.' },
  limitedConnectivity: { code: 51, hint: 'Look at the weft-agent pod of this node.' },
  agentDefect: { code: 100, hint: "A defect of the weft agent: its log on this node has the error's stack." },
} as const;

export type CniErrorName = keyof typeof catalogue;

/** Fails the call of the container runtime with a code of the catalogue. */
export class CniError extends Error {
  readonly code: number;
  readonly details: string;

  constructor(name: CniErrorName, message: string, options?: ErrorOptions & { readonly details?: string }) {
    super(message, options);
    this.name = 'CniError';
    this.code = catalogue[name].code;
    this.details = options?.details ?? catalogue[name].hint;
  }
}
