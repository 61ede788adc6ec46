/** How an installation looks in a cluster: what `weft` looks for, and what the chart makes. */
export const controller = { name: 'weft-controller', adminPort: 9990 } as const;
export const agent = { name: 'weft-agent', adminPort: 4191 } as const;

export const defaultNamespace = 'weft-system';

/** On every object of an installation. */
export const partOf = { label: 'app.kubernetes.io/part-of', value: 'weft' } as const;

export const minimumKubernetes = { major: 1, minor: 31 } as const;
export const minimumKernel = { major: 6, minor: 1 } as const;
export const architecture = 'amd64';
