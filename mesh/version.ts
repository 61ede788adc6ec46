import packageJson from '../package.json' with { type: 'json' };

/** Of Weft: all its parts are released together. */
export const version = packageJson.version;
